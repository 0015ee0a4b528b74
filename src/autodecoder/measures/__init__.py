"""Measures of reconstructions, latents and samples: arrays in, numbers out."""
