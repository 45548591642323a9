"""Imports every module that declares tables, so that migrations see them all."""

from typing import Final

from bot.telegram.service import ParkedUpdate
from desk.access import AccessLine
from desk.agent_messages import AgentMessage
from desk.alarms import Alarm
from desk.archive_runs import ArchiveRun
from desk.areas import Area, Handover
from desk.attachments import Attachment
from desk.binding import BindCode, BindLink, BindTry
from desk.canned import CannedReply
from desk.classification import Classification, ClassificationLine
from desk.conversations import Address, Contact, Conversation, RecordLine
from desk.customers import Account, AccountContact, AccountYear, Customer, Designation, TierChange
from desk.deliveries import ChannelPause, Delivery
from desk.erasures import ErasedMark
from desk.events import Event
from desk.hours import DayOverride
from desk.passwords import SignInTries
from desk.policy import PolicyVersion
from desk.presence import Seat
from desk.promises import Attempt, Promise
from desk.queue import QueueEntry
from desk.staff import ApiToken, Staff, StaffSession
from desk.storm import Storm
from knowledge.entries import GuideVersion
from knowledge.learning import LearnedQuestion, LearningChange, LearningItem

ALL: Final = {
    table.__tablename__
    for table in (
        AccessLine,
        Account,
        AccountContact,
        AccountYear,
        AgentMessage,
        Alarm,
        Attempt,
        Promise,
        QueueEntry,
        Seat,
        Address,
        ApiToken,
        ArchiveRun,
        Area,
        Attachment,
        BindCode,
        BindLink,
        BindTry,
        CannedReply,
        ChannelPause,
        Classification,
        ClassificationLine,
        Contact,
        Conversation,
        Customer,
        DayOverride,
        Delivery,
        Designation,
        ErasedMark,
        Event,
        GuideVersion,
        Handover,
        LearnedQuestion,
        LearningChange,
        LearningItem,
        ParkedUpdate,
        PolicyVersion,
        RecordLine,
        SignInTries,
        Staff,
        StaffSession,
        Storm,
        TierChange,
    )
}
