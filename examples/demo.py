# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Decoder-only image reconstruction
#
# First what the original's notebook shows: search the learning rate, train at the best one several
# times, plot the histories with their spread, look at the latent spaces. Then what a trained
# decoder is good for: unseen images, missing pixels, interpolation, new images.
#
# The data set is scikit-learn's digits, which need no download. `AUTODECODER_DEMO=mnist` takes
# MNIST, `AUTODECODER_DEMO_EPOCHS` other numbers of epochs.

# %%
# %matplotlib inline
# %config InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "dpi": 72}
import os
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

warnings.filterwarnings("ignore", message="IProgress not found")

import autodecoder as ad
from autodecoder.report.figures import (
    plot_latent_space,
    plot_learning_rates,
    plot_loss_curves,
    plot_plane,
)
from autodecoder.report.plane import latent_plane, plane_grid, plane_view
from autodecoder.report.sheets import plot_reconstructions

name = os.environ.get("AUTODECODER_DEMO", "digits")
epochs = int(os.environ.get("AUTODECODER_DEMO_EPOCHS", "40"))
folder = Path(tempfile.mkdtemp(prefix="autodecoder-demo-"))

# %% [markdown]
# ## Tune the learning rate
#
# Four learning rates, two executions each: eight runs in one compiled program.

# %%
search = ad.StudyConfig(
    data=ad.DataConfig(dataset=name, examples_frac=1.0),
    decoder=ad.DecoderConfig(arch=(128, 256)),
    fit=ad.fit_config("fast", num_epochs=epochs),
    search=ad.SearchConfig({"learning_rate": (1e-4, 1e-3, 1e-2, 1e-1)}),
    executions_per_trial=2,
    objective="val_loss",
    seed=1,
)
dataset = ad.load_study_data(search)
tuned = ad.run_study(search, dataset, folder / "search")
rate = tuned.best_trial.learning_rate
tuned.histories.groupby("learning_rate")[["loss", "val_loss"]].min()

# %%
plot_learning_rates(tuned.trials, tuned.metric)

# %% [markdown]
# ## Train at the best
#
# Three executions; the best epoch's model is kept.

# %%
config = replace(
    search,
    search=ad.SearchConfig({"learning_rate": (rate,)}),
    executions_per_trial=3,
)
study = ad.run_study(config, dataset, folder / "best-rate")
plot_loss_curves(study.trials, ("loss", "val_loss"))

# %% [markdown]
# ## Latent spaces
#
# The class took no part in the training; it gives the colour.

# %%
model = ad.load_model(folder / "best-rate" / "best")
plot_latent_space(model.latents, model.labels, dataset.class_names, title="training images")

# %% [markdown]
# ## What the original could not
#
# ### Unseen images
#
# The validation latents above moved along with the decoder, one pass an epoch. Inference finds
# latents from scratch under the finished decoder.

# %%
images = dataset.val.images
found = model.infer(images)
print(f"co-trained {model.history['val_loss'][-1]:.4f}, fresh {found.errors.loss.mean():.4f}")
plot_latent_space(
    found.latents,
    dataset.val.labels,
    dataset.class_names,
    title="validation images, inferred",
    background=model.latents,
)

# %% [markdown]
# ### Missing pixels
#
# The right half of each image is hidden; the latent is found from the left one.

# %%
chosen = images[:10]
seen = np.ones(chosen.shape, bool)
seen[:, :, chosen.shape[2] // 2 :] = False
filled = np.rint(255 * model.reconstruct(chosen, seen)).astype(np.uint8)
plot_reconstructions(chosen, filled, title="right half hidden", mask=seen)

# %% [markdown]
# ### Interpolation and new images


# %%
def show(pictures, title):
    figure, grid = plt.subplots(1, len(pictures), figsize=(len(pictures), 1.3))
    figure.suptitle(title)
    for axes, picture in zip(grid, pictures, strict=True):
        axes.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1)
        axes.set_axis_off()
    plt.show()


show(model.interpolate(images[0], images[1], 10, path="linear").images, "straight on")
show(model.interpolate(images[0], images[1], 10, path="data").images, "along the data")
show(model.sample(10, seed=0).images, "new images")

# %% [markdown]
# ### The whole plane

# %%
plane = latent_plane(model.latents)
view = plane_view(model, plane)
grid = plane_grid(plane, view, 16)
decoded = np.rint(255 * model.decode(grid.reshape(-1, 2))).astype(np.uint8)
plot_plane(decoded.reshape(16, 16, *model.image_shape), view, plane.names)

# %% [markdown]
# ## One fit in three lines
#
# `AutoDecoder` is a transformer of scikit-learn: a single fit of arrays, without a folder. `plot`
# draws the map, here with the validation images over the training images.

# %%
estimator = ad.AutoDecoder(arch="128-256", num_epochs=epochs, random_state=0)
estimator.fit(dataset.train.images, dataset.train.labels)
estimator.plot(images, dataset.val.labels)

# %% [markdown]
# `show` opens the live map: the decoder draws the image of the point below the mouse. The same page
# as a file that can be sent to someone: `autodecoder report FOLDER --out page.html`.

# %%
estimator.show()
