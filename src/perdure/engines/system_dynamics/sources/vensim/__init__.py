"""Vensim's `.mdl` files: read them into a form. PySD parses the equations (extra ``vensim``)."""
