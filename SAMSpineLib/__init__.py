"""SAMSpine's library: from a click in an image to a named structure of the spine.

Three faces stand on it, the Slicer module, the web app and the command line; it knows none of them. This import and
the nouns (volume, prompts, labels, mask_update, errors, resources) need neither torch nor slicer nor SimpleITK.
"""
