"""For all tests: a slow machine is no failure, so hypothesis sets no time for an example."""

import hypothesis

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
