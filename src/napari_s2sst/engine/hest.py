"""The names of ``anndata_slide`` from when only HEST-1k's files were read: ``HestSlide``, ``open_hest``."""

from .anndata_slide import AnnDataSlide as HestSlide
from .anndata_slide import open_anndata as open_hest
from .bin_scale import HEST_BIN_UM

__all__ = ["HEST_BIN_UM", "HestSlide", "open_hest"]
