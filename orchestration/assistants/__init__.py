"""An interface for assistants: five tools that only read, by the Model Context Protocol.

``tools`` are plain functions whose answers carry their proof; ``server`` offers them. Only the
server knows the protocol's SDK.
"""
