"""An edited model on disk: the plan as JSON, the tensors as safetensors; read back, or done again elsewhere."""
