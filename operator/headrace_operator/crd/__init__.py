"""The three resources as pydantic models, and the definitions that are rendered from them.

`Cluster`, `Topic` and `Quota` are read with `model_validate(object)`, the whole object as the API
server gives it. What it checked on the way in (crds/*.yaml) is checked here once more, for an
object that was stored before a rule was.
"""
