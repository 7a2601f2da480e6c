"""What FastAPI routes get as parameters: the services of the app, and who asks."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from perdure.drivers.session_requests import Owner
from perdure.web.auth import caller_of
from perdure.web.services import AppServices

__all__ = ["Asking", "Making", "Serving"]


async def _serving(request: Request) -> AppServices:
    services: AppServices = request.app.state.services
    return services


async def _asking(request: Request) -> Owner:
    return caller_of(request.scope).owner


async def _making(request: Request) -> str:
    return caller_of(request.scope).name


Serving = Annotated[AppServices, Depends(_serving)]
"""The parameter by which a FastAPI route gets the services."""

Asking = Annotated[Owner, Depends(_asking)]
"""The parameter by which a FastAPI route learns who asks."""

Making = Annotated[str, Depends(_making)]
"""The parameter by which a FastAPI route learns whose a new run is."""
