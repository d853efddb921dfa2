"""The science of the package: functions and small classes on tensors, without files, configuration or plots."""
