"""Imports every module that declares tables, so that migrations see them all."""

from typing import Final

from bot.telegram.service import ParkedUpdate
from desk.attachments import Attachment
from desk.conversations import Address, Contact, Conversation, RecordLine
from desk.deliveries import ChannelPause, Delivery
from desk.events import Event
from knowledge.entries import GuideVersion

ALL: Final = {
    table.__tablename__
    for table in (
        Address,
        Attachment,
        ChannelPause,
        Contact,
        Conversation,
        Delivery,
        Event,
        GuideVersion,
        ParkedUpdate,
        RecordLine,
    )
}
