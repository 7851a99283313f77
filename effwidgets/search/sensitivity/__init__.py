"""How much the outputs suffer, layer by layer and setting by setting."""
