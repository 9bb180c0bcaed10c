"""The Common Expression Language as kube-apiserver 1.36 speaks it: rules in definitions and admission policies.

`program.compile(text, environment)` parses, checks types and turns an expression into closures; the result evaluates
against variables and knows what it costs at most. Everything is pure. Errors are worded as cel-go words them, for
they are part of the API's answers.

Values: bool, int, float, str, bytes, None, list and dict are themselves; unsigned integers, timestamps, durations,
optionals, types and Kubernetes' own (quantities, addresses, ...) are classes of values.py.
"""
