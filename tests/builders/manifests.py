"""Manifests for tests of whole processes, as a person would write them."""


def account(name: str, url: str, dollars: str = "1") -> str:
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: {name}}}
spec:
  provider: openai-compatible
  baseURL: {url}
  models:
  - {{name: acme/m, upstreamName: m, price: {{perMillionTokens: {{input: "{dollars}", output: "{dollars}"}}}}}}
---
"""


def route(*members: str, name: str = "smart") -> str:
    listed = "".join(
        f"  - {{name: {member}, providerKeyRef: {{name: {member}}}, model: acme/m, order: {number}}}\n"
        for number, member in enumerate(members)
    )
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec:
  endpoints:
{listed}"""
