"""Arrays in, arrays out: decoder, latents, joint fit, latent inference, and many runs at once."""
