"""Run the experiment until its time is up."""

try:
    while True:
        nrp.run_loop(10)
except NRPSimulationTimeout:
    file_logger.info("simulation time is up")
