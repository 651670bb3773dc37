"""MA-SAM: a SAM that is prompted by what registered atlases say, class by class."""
