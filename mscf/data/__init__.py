"""From volumes to batches: cases, volumes, store, splits, augmentation, phantoms."""
