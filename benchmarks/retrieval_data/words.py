"""Vocabularies of the generated conversations. ``a|b``: the same thing said in other words, for paraphrases."""


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Return (as said, in other words) of a list with one pair a line."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return tuple((said, other) for said, _, other in (line.partition("|") for line in lines))


def lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


def parts(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


NAMES = lines("""
    Marta
    Joel
    Priya
    Tomas
    Ingrid
    Kofi
    Elena
    Ravi
    Hannah
    Diego
    Yuki
    Omar
    Clara
    Felix
    Nadia
    Silas
    Beatriz
    Callum
    Amara
    Stefan
    Leila
    Hugo
    Wren
    Dmitri
""")
FRIENDS = parts(
    "Anton|Bruna|Cyril|Dalia|Edgar|Fiona|Gareth|Helga|Ivo|Jolanta|Kenji|Lorna|Mateo|Nerys|Otto|Paloma|Quentin|Rosa|"
    "Sunil|Tamsin|Ulrich|Vera|Walid|Xenia|Yannick|Zora|Alma|Boris|Cosima|Derek|Esme|Farid"
)
RELATIVES = pairs("""
    my sister|sibling
    my brother|sibling
    my cousin|extended family
    my aunt|older relative
    my uncle|older relative
    my grandmother|nan
    my grandfather|grandpa
    my niece|younger relative
    my nephew|younger relative
    my roommate|person sharing the apartment
    my neighbour|woman next door
    my husband|spouse
    my old teacher|former instructor
    my boss|manager
    my colleague|coworker
""")
PLACES = lines("""
    the harbour market
    Miller's Yard
    the arcade on Tulip Street
    the old brewery
    the riverside hall
    the station square
    the library annex
    the corner of Ash Lane
    the community centre
    the flea market by the canal
    Saint Olaf's square
    the shed behind the school
    the glass pavilion
    the north pier
    Copper Alley
    the top floor of the department store
""")
COLOURS = parts("turquoise|crimson|mustard|ivory|charcoal|lilac|emerald|copper|navy|coral")
NUMBERS = parts("three|four|five|six|seven|eight|nine|eleven|twelve|fourteen|twenty|thirty")
PRICES = parts("eighty|ninety|a hundred and twenty|two hundred|three hundred and fifty|five hundred|nine hundred")
DURATIONS = lines("""
    two weeks
    ten days
    three months
    half a year
    a whole weekend
    four evenings
    almost a year
    six weeks
""")
FEELINGS = lines("""
    nervous but proud
    completely worn out
    relieved
    over the moon
    a little homesick
    calmer than I have been in ages
    surprisingly emotional
    like a kid again
    grateful
    frustrated at first
""")
FLAWS = lines("""
    the handle came off on the first day
    it rained sideways the whole afternoon
    someone spilled coffee over everything
    the alarm went off at midnight
    I forgot my glasses
    the bus broke down halfway
    we got lost twice
    my phone died at the worst moment
    the lights went out for an hour
    I had a terrible cold
    the zip burst
    a pigeon flew in through the window
    they had the wrong name on the list
    my shoes gave me blisters
""")
REASONS = lines("""
    I needed something that has nothing to do with screens
    the doctor told me to slow down
    I had promised it to myself for years
    it was on sale and I could not resist
    I wanted to prove that I still can
    my evenings had become so empty
    we wanted to do something together for once
    a podcast got me curious
    I lost a bet
    I wanted to save money in the long run
    it reminds me of my childhood summers
    I was tired of saying maybe later
""")
GREETINGS = lines("""
    Hey {you}! Long time no see.
    Hi {you}, how have you been?
    {you}! So good to hear from you again.
    Hello {you}, how is everything on your side?
    Hey {you}, what's new with you?
    Morning {you}! Hope the week treats you well.
    Hi {you}! I was just thinking about you.
    Hey there {you}, got a minute to catch up?
""")
ANSWERS = lines("""
    Hey {you}! Busy as always, but I can't complain. And you?
    Hi {you}! All good here, a bit tired. What about yourself?
    {you}, hello! It has been quite a week, honestly.
    Hey {you}! Much better than last time we talked, thanks.
    Hi {you}! I have been meaning to call you.
    Good to hear you, {you}. Things are slowly settling down here.
""")
REACTIONS = lines("""
    Wow, that's amazing, {you}!
    Oh, that sounds lovely.
    That's great news, {you}!
    No way! Good for you.
    I'm so happy for you, {you}.
    Ha, I can picture that.
    That must have been something.
    Really? I had no idea.
    Sounds like quite an experience.
    Congrats, {you}! You deserve it.
    Oh wow, I'm impressed.
    That's so cool!
    Love that for you.
""")
ECHOES = lines("""
    {thing} would be right up my alley too.
    I always thought {thing} takes a lot of patience.
    I know so little about {thing}.
    You and {thing}, who would have guessed.
    My friend {friend} keeps telling me about {thing} as well.
    I read an article about {thing} only last month.
    Everybody seems to talk about {thing} these days.
    {thing} is something I could never do.
""")
CLOSERS = lines("""
    Thanks, {you}, it means a lot.
    It really does help to talk about it.
    I'll keep you posted.
    We should catch up in person soon.
    Anyway, enough about me.
    Life is good, isn't it.
    Let's see where it goes.
    It keeps me going these days.
    Thanks for always listening, {you}.
    One step at a time.
""")
MENTIONS = lines("""
    How is it going with {thing}, by the way?|Pretty well! {thing_c} is still a big part of my week.
    Are you still busy with {thing}?|Oh yes, {thing} and I are old friends by now. {closer}
    Any news about {thing}?|Not much, {thing} has been on hold while work was crazy.
    I told {friend} about you and {thing} the other day.|Ha, what did {friend} say? {thing_c} is not for everyone.
    You sounded so happy when we talked about {thing}.|I was! {thing_c} gave me a lot of energy back.
    I saw something about {thing} on the news and thought of you.|That's sweet. {thing_c} never gets old for me.
    Do you ever regret {thing}?|Not for a second. {closer}
""")
SMALL_TALK = lines("""
    The weather is all over the place, sun in the morning and hail by noon.|Same here, I never know what to wear.
    I can't believe how fast this year goes by.|Tell me about it, I still write the wrong date everywhere.
    Did you sleep well? You sounded tired.|Could be better, the construction next door starts at six.
    I had the worst coffee of my life this morning.|Ha, that's how a good day begins, it can only improve.
    Traffic was a nightmare again today.|I gave up on driving at rush hour long ago.
    I'm trying to drink more water, they say it helps with everything.|Let me know whether it works, I live on tea.
    My phone keeps updating itself at the worst moments.|Mine too, always when I need the map.
    What's for dinner at your place tonight?|Leftovers, and I'm not ashamed of it.
    I finally cleaned out the fridge.|Brave! I found a jar from two years ago in mine.
    I started going to bed before eleven.|How responsible of you. I admire the discipline.
    The neighbours had a party till three.|Did they at least invite you?
    I've been listening to the same song all week.|Which is fine, some songs deserve it.
    Do you also get so many spam calls lately?|Every single day. I stopped picking up.
    I need a holiday from my holiday planning.|That's the most relatable thing I've heard today.
    The elevator in our building is broken again.|Free exercise, look at it that way.
""")
CAPTIONS = lines("""
    a photo of {thing_n} on a wooden table
    a picture of a person smiling next to {thing_n}
    a photo of two people holding {thing_n}
    a blurry picture of {thing_n} at sunset
    a photo of a sign about {thing_n}
    a collage with {thing_n} and flowers
""")
PADDING = lines("""
    By the way, the kids from downstairs say hello.
    I still owe you that lunch, I have not forgotten.
    Work has been a bit much, three meetings before ten.
    My mother asks about you every time we talk.
    It has been a long day, so forgive me if I ramble.
    I put the kettle on while we talk.
    You always know what to say.
    Some days are like that, I suppose.
    I promised myself to complain less this year.
    There is so much to do before the end of the month.
    I was on the train when I thought of it.
    You would have laughed.
    It made me think about what really matters.
    I wish you had been there.
    It's the little things, you know.
    Time for a new chapter, I guess.
    I have been smiling ever since.
    My to-do list is longer than my arm.
    We should celebrate that when you visit.
    I could talk about it for hours.
    Everybody at home is doing fine.
    I have to get up early tomorrow, though.
    It was worth every minute.
    I didn't expect that at all.
""")
