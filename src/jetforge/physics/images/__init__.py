"""Jets as images and as aligned constituents."""
