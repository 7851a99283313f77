"""The same work in another order or fewer kernels: folded norms, compiled models, recomputation."""
