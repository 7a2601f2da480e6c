"""The dialect of the StableConfigs server: binding networks solved as tasks."""
