"""Networks: supernets and the discrete networks derived from them."""
