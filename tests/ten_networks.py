"""The ten networks as they must be: class, parameters with 1 and 2 outputs, GMAC."""

# Key: title, class, parameters with one output and with two, GMAC at 448 x 448.
TABLE = {
    "unet": ("U-Net", "UNet", 34_527_041, 34_527_106, 200.126),
    "attention_unet": (
        "Attention UNet", "AttentionUNet", 34_878_573, 34_878_638, 203.426,
    ),
    "r2unet": ("R2U-Net", "R2UNet", 39_091_393, 39_091_458, 466.995),
    "nested_unet": ("Nested UNet", "NestedUNet", 9_163_329, 9_163_362, 105.612),
    "cenet": ("CE-Net", "CENet", 29_003_093, 29_003_382, 20.505),
    "senet": ("SENet", "SENet", 29_013_845, 29_014_134, 20.505),
    "self_attention": (
        "Self-attention", "SelfAttentionNet", 29_111_176, 29_111_465, 33.620,
    ),
    "danet": ("DANet", "DANet", 47_434_949, 47_436_488, 158.635),
    "csnet": ("CS-Net", "CSNet", 8_400_803, 8_400_836, 38.523),
    "mscf": ("Ours", "MSCFNet", 29_111_179, 29_111_468, 33.928),
}  # fmt: skip
