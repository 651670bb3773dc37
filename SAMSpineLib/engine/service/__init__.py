"""The session in another process, or on another machine: the same prompts in, the same crops out.

On the client's side (`mirror`, `client`, `child`) nothing but the standard library, numpy and, for the blocking
transport, requests is needed: it runs inside 3D Slicer, without torch. On the server's side are `server` and `hosting`.
"""
