"""Emulated Microsoft Entra ID: the OpenID provider of every tenant in `world.yaml`, accepted by MSAL unmodified.

Owns sign-in pages, codes, tokens and keys for two grants: `authorization_code` with PKCE, and `client_credentials` by
federated identity. Leaves out, and refuses by name: refresh tokens, device code, password and on-behalf-of grants,
consumer accounts, Conditional Access.
"""
