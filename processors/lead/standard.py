"""Which question fills which field of a Lead.

A question's type on the form decides. Only an answer whose question the form does not list, or that has no form, is
recognised by the name that Meta gives to its standard questions: people may give a question of their own any name.
"""

from collections.abc import Mapping
from typing import Literal

Field = Literal[
    "email",
    "work_email",
    "phone",
    "phone_verified",
    "work_phone",
    "whatsapp",
    "full_name",
    "first_name",
    "last_name",
    "date_of_birth",
    "gender",
    "marital_status",
    "relationship_status",
    "education_level",
    "military_status",
    "company_name",
    "job_title",
    "website",
    "street_address",
    "address_line_two",
    "city",
    "state",
    "post_code",
    "country",
]

# https://developers.facebook.com/docs/graph-api/reference/page/leadgen_forms, `questions[].type`, v25.0.
# Types without a field here are answers like any other.
BY_TYPE: Mapping[str, Field] = {
    "EMAIL": "email",
    "WORK_EMAIL": "work_email",
    "PHONE": "phone",
    "PHONE_OTP": "phone",
    "USER_PROVIDED_PHONE_NUMBER": "phone",
    "WORK_PHONE_NUMBER": "work_phone",
    "WHATSAPP_NUMBER": "whatsapp",
    "FULL_NAME": "full_name",
    "FIRST_NAME": "first_name",
    "LAST_NAME": "last_name",
    "DOB": "date_of_birth",
    "GENDER": "gender",
    "MARITIAL_STATUS": "marital_status",  # Meta's spelling
    "RELATIONSHIP_STATUS": "relationship_status",
    "EDUCATION_LEVEL": "education_level",
    "MILITARY_STATUS": "military_status",
    "COMPANY_NAME": "company_name",
    "JOB_TITLE": "job_title",
    "WEBSITE": "website",
    "STREET_ADDRESS": "street_address",
    "ADDRESS_LINE_TWO": "address_line_two",
    "CITY": "city",
    "STATE": "state",
    "PROVINCE": "state",
    "POST_CODE": "post_code",
    "ZIP": "post_code",
    "COUNTRY": "country",
}

BY_NAME: Mapping[str, Field] = {
    **{field: field for field in BY_TYPE.values() if field not in {"phone", "work_phone", "whatsapp"}},
    "phone": "phone",
    "phone_number": "phone",
    "user_provided_phone_number": "phone",
    "phone_number_verified": "phone_verified",  # of forms that verify by SMS
    "work_phone_number": "work_phone",
    "whatsapp_number": "whatsapp",
    "province": "state",
    "zip": "post_code",
    "zip_code": "post_code",
}
