"""A CT to try the module on."""

import slicer

# Slicer's own chest CT, in which T4 to L2 are seen.
DIGEST = "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"


def registerSampleData(thumbnail: str) -> None:
    """Offer the CT in the Sample Data module, which must be there; it is downloaded when the user asks for it."""
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SAMSpine",
        sampleName="SAMSpineChestCT",
        uris=f"{slicer.util.TESTING_DATA_URL}SHA256/{DIGEST}",
        fileNames="SAMSpineChestCT.nrrd",
        checksums=f"SHA256:{DIGEST}",
        nodeNames="SAMSpineChestCT",
        thumbnailFileName=thumbnail,
    )
