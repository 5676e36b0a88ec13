"""What pytest loads wherever labplane is installed, so that failed assertions of the kit explain themselves."""

import pytest

pytest.register_assert_rewrite("labplane.testing")
