"""The policy pack: rules over what the components emit, judged by the engine before it creates or changes anything.

One file per concern. A rule here is asked of the resource itself, whatever program emitted it; the schema asks the
configuration, and the runtime its environment, so each refuses on its own.
"""
