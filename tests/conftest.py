"""What every test may ask for comes from the plugins named here."""

pytest_plugins = [
    "tests.plugins.profiles",
    "tests.plugins.servers",
    "tests.plugins.databases",
    "tests.plugins.fault_table",
    "tests.plugins.pooler",
    "tests.plugins.browsers",
]
