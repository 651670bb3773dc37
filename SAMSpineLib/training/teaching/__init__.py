"""Teach: from some labelled images to a model that segments the structures by itself."""
