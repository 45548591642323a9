"""Imports every module that declares tables, so that migrations see them all."""

from typing import Final

from bot.telegram.service import ParkedUpdate
from desk.access import AccessLine
from desk.archive_runs import ArchiveRun
from desk.areas import Area, Handover
from desk.attachments import Attachment
from desk.binding import BindCode, BindLink, BindTry
from desk.classification import Classification, ClassificationLine
from desk.conversations import Address, Contact, Conversation, RecordLine
from desk.customers import Account, AccountContact, AccountYear, Customer, Designation, TierChange
from desk.deliveries import ChannelPause, Delivery
from desk.events import Event
from desk.passwords import SignInTries
from desk.staff import ApiToken, Staff, StaffSession
from knowledge.entries import GuideVersion

ALL: Final = {
    table.__tablename__
    for table in (
        AccessLine,
        Account,
        AccountContact,
        AccountYear,
        Address,
        ApiToken,
        ArchiveRun,
        Area,
        Attachment,
        BindCode,
        BindLink,
        BindTry,
        ChannelPause,
        Classification,
        ClassificationLine,
        Contact,
        Conversation,
        Customer,
        Delivery,
        Designation,
        Event,
        GuideVersion,
        Handover,
        ParkedUpdate,
        RecordLine,
        SignInTries,
        Staff,
        StaffSession,
        TierChange,
    )
}
