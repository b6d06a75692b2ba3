"""What can be compared, by name: known without loading torch, so that a wrong request is answered soon."""

MODELS = ("mlp_small", "mlp_large", "cnn", "resnet20", "lstm_lm", "gpt_small", "gpt_vocab", "neumf")
