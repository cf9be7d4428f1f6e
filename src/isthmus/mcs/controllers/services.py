"""The four control loops of this room, wired to one another and to what they watch."""

import asyncio
from collections.abc import Iterable, Mapping

from isthmus.kit.clock import Clock
from isthmus.kube.events import Recorder
from isthmus.mcs.controllers.absences import Absences
from isthmus.mcs.controllers.conditions import Conditions
from isthmus.mcs.controllers.export import Exporter
from isthmus.mcs.controllers.imports import Importer
from isthmus.mcs.controllers.place import Place
from isthmus.mcs.controllers.telling import Teller
from isthmus.mcs.controllers.triggers import Triggers
from isthmus.mcs.controllers.views import Views, Writers
from isthmus.runtime.controller import Controller
from isthmus.runtime.reconcile import After, Reconcile, Request

# Writes of one key wait for one another; so many keys are written side by side.
WORKERS = 16
# Seconds between two looks whether the hub answers.
_LOOK = 5.0


class Services:
    """Exports up, imports down, conditions on both, and nothing deleted on an absence alone."""

    def __init__(self, views: Views, writers: Writers, place: Place, *, clock: Clock) -> None:
        self._views = views
        self._triggers = Triggers(views)
        self._clock = clock
        self.absences = Absences(views, clock=clock, again=self._import_again, look=self._look_again)
        teller = Teller(Recorder(views.member.client, "isthmus-agent", clock))
        exporter = Exporter(views, writers.hub, self._tell_export)
        self.refused: Mapping[Request, str] = exporter.refused
        self.when_refused = exporter.when_refused
        conditions = Conditions(views, writers, self.absences, refused=self.refused, teller=teller, clock=clock)
        self._conditions = self._loop("conditions", conditions.reconcile)
        self._exports = self._loop("exports", exporter.reconcile)
        importer = Importer(views, writers.member, self.absences, here=place.here, teller=teller, clock=clock)
        self._imports = self._loop("imports", importer.reconcile)
        self._lists = self._loop("absences", self.absences.reconcile, workers=1)
        self._silence = self._loop("silence", self._mind_silence, workers=1)
        self._was_silent = False
        exporter.watch(self._exports)
        self._triggers.watch_for_imports(self._imports)
        self._triggers.watch_for_conditions(self._conditions)
        views.hub.exports.when_listed(self._publish_all)
        views.hub.chunks.when_listed(self._publish_all)
        views.hub.when_synced(self._look_at_all)
        self.absences.when_rules_change(self._look_at_all)
        self._silence.add(views.member.request("", "silence"))

    @property
    def idle(self) -> bool:
        """Whether nothing is waiting to be done at once."""
        return all(loop.idle for loop in (self._exports, self._conditions, self._imports, self._lists))

    async def follow(self) -> None:
        """Ask for the lists that tell who has left, until cancelled: also while this cluster is no member itself."""
        await self._lists.run()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for loop in (self._exports, self._conditions, self._imports, self._silence):
                tasks.create_task(loop.run(), name=f"controller {loop.name}")

    def _loop(self, name: str, reconcile: Reconcile, *, workers: int = WORKERS) -> Controller:
        return Controller(name, reconcile, workers=workers, clock=self._clock)

    def _tell_export(self, request: Request) -> None:
        self._conditions.add(request)

    def _import_again(self, request: Request) -> None:
        self._imports.add(request)

    def _look_again(self) -> None:
        self._lists.add(self.absences.request())

    async def _mind_silence(self, _: Request) -> After:
        """Exports say since when the hub does not answer, and when it does again."""
        silent = bool(self._views.hub.silence())
        if silent != self._was_silent:
            self._was_silent = silent
            _add_all(self._conditions, self._triggers.all_exports())
        return After(_LOOK)

    def _publish_all(self) -> None:
        # A fresh list may lack what is ours: the hub lost it, or somebody else took it away.
        _add_all(self._exports, self._triggers.all_exports())

    def _look_at_all(self) -> None:
        _add_all(self._exports, self._triggers.all_exports())
        _add_all(self._conditions, self._triggers.all_exports())
        _add_all(self._imports, self._triggers.all_imports())


def _add_all(loop: Controller, requests: Iterable[Request]) -> None:
    for request in requests:
        loop.add(request)
