"""The account: what became of every record that was acknowledged, from the topics themselves."""

from .counting import Account as Account
from .counting import Lost as Lost
from .counting import LostRecord as LostRecord
from .taking import AccountError as AccountError
from .taking import take_account as take_account
from .whereabouts import Index as Index
from .whereabouts import open_index as open_index
