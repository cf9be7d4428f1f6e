"""CEL as Kubernetes speaks it, evaluated by Google's runtime (cel-expr-python): each expression is compiled once."""
