"""Memory ablations: arms over a stream, placebos, alarms."""
