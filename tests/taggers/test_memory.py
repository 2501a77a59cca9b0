"""Asking the C library to keep freed memory does no harm."""

import platform

import torch

from jetforge.taggers import keep_freed_memory


def test_accepted_by_glibc_and_ignored_elsewhere():
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
    assert torch.ones(1 << 24).sum() == 1 << 24
