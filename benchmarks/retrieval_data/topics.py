"""What people in the generated conversations tell each other: kinds of events, with questions in the same words and in
other words. Braces are filled from ``words``; ``a|b`` in a list of things is the same thing in other words.
"""

from dataclasses import dataclass

from .words import lines, pairs


@dataclass(frozen=True, slots=True)
class Detail:
    """A follow-up. ``full`` names the thing again, ``short`` only makes sense with the turn before it."""

    ask: str
    full: str
    short: str
    same: str
    other: str


@dataclass(frozen=True, slots=True)
class Topic:
    """``tell``: the event itself. ``when``: asks for its time. ``every``: needs each such event of that person."""

    name: str
    things: tuple[tuple[str, str], ...]
    tell: tuple[str, ...]
    when: tuple[str, ...]
    when_other: tuple[str, ...]
    which: tuple[str, ...]
    every: tuple[str, ...]
    would: tuple[str, ...]
    details: tuple[Detail, ...]


def details(text: str) -> tuple[Detail, ...]:
    """Return one detail per five lines: ask, full, short, same, other."""
    rows = lines(text)
    return tuple(Detail(*rows[start : start + 5]) for start in range(0, len(rows), 5))


HOBBY = Topic(
    "hobby",
    pairs("""
        pottery|shaping clay
        calligraphy|beautiful handwriting
        beekeeping|raising insects for honey
        woodcarving|sculpting timber
        birdwatching|spotting winged animals
        knitting|making jumpers from yarn
        archery|shooting arrows
        juggling|keeping balls in the air
        fencing|duelling with blades
        watercolour painting|art with brushes
        salsa dancing|Latin steps on the floor
        chess|a board game with kings
        rock climbing|scaling walls
        astronomy|observing stars
        origami|folding paper
        baking bread|making loaves
        sailing|steering boats
        magic tricks|illusions
        photography|shooting with a camera
        improv theatre|acting without a script
        weaving|working on a loom
        tai chi|slow martial movements
        stand-up comedy|telling jokes on stage
        model trains|miniature railways
    """),
    lines("""
        I signed up for a {thing} course {when}!
        {when_c} I tried {thing} for the very first time and I am hooked.
        You won't believe it, I started {thing} {when}.
        So I finally did it: I joined a {thing} group {when}.
        Guess who picked up {thing} {when}? Me!
    """),
    lines("""
        When did {who} start {thing}?
        When did {who} sign up for {thing}?
        On which date did {who} first try {thing}?
        When was it that {who} joined the {thing} group?
    """),
    lines("""
        When did {who} take up {other}?
        When did {who} begin a new pastime, {other}?
        How long ago did {who} get into {other}?
    """),
    lines("""
        What hobby did {who} start in {month}?
        What did {who} sign up for in {month}?
    """),
    lines("""
        What hobbies has {who} taken up?
        Which activities did {who} start or sign up for?
        What kinds of courses and groups has {who} joined?
    """),
    lines("""
        Would {who} enjoy a gift card for lessons in {other}?
        Is {who} likely to be interested in {other}?
        Would {who} rather spend a free evening on {other} or in front of the television?
    """),
    details("""
        Who talked you into it?
        {relative_c} talked me into {thing}, we go there together now.
        {relative_c} did, and now we go together.
        Who talked {who} into {thing}?
        Whose idea was {other} in the case of {who}?
        Where do you practise?
        We do the {thing} at {place}, upstairs.
        At {place}, upstairs, it smells of old paint.
        Where does {who} practise {thing}?
        At what location does {who} pursue {other}?
        And, was it hard?
        The first time with {thing} I felt {feeling}, to be honest.
        I was {feeling}, to be honest.
        How did {who} feel about the first time with {thing}?
        What emotions came up for {who} in the beginning with {other}?
        Why did you pick that of all things?
        I chose {thing} because {reason}.
        Because {reason}, it's as simple as that.
        Why did {who} choose {thing}?
        What motivated {who} regarding {other}?
        Did everything go smoothly?
        Not quite, at the {thing} class {flaw}.
        Not quite, {flaw}.
        What went wrong at the {thing} class of {who}?
        Which mishap happened to {who} during {other}?
    """),
)
TRIP = Topic(
    "trip",
    pairs("""
        Lisbon|the Portuguese capital
        Kyoto|the old imperial city of Japan
        Marrakesh|Morocco
        Reykjavik|Iceland
        Edinburgh|the Scottish capital
        Prague|the Czech capital
        Cusco|the Peruvian highlands
        Naples|southern Italy
        Hanoi|Vietnam
        Cape Town|South Africa
        Quebec|French-speaking Canada
        Athens|the Greek capital
        Tbilisi|Georgia in the Caucasus
        Bergen|the fjords of Norway
        Oaxaca|Mexico
        Jaipur|Rajasthan in India
        Galway|the west of Ireland
        Split|the Croatian coast
        Santiago|Chile
        Ljubljana|Slovenia
        Vienna|the Austrian capital
        Zanzibar|an East African island
    """),
    lines("""
        I just came back from {thing}, we flew out {when}.
        {when_c} I went to {thing} for a few days.
        We finally made the trip to {thing} {when}!
        I visited {thing} {when}, and I left a piece of my heart there.
        Did I tell you that I was in {thing} {when}?
    """),
    lines("""
        When did {who} go to {thing}?
        When did {who} visit {thing}?
        When was {who} in {thing}?
        In which month did {who} make the trip to {thing}?
    """),
    lines("""
        When did {who} travel to {other}?
        When was the holiday of {who} in {other}?
        At what time of year did {who} see {other}?
    """),
    lines("""
        Where did {who} go in {month}?
        Which city did {who} visit in {month}?
        What trip did {who} make in {month}?
    """),
    lines("""
        Which cities has {who} visited?
        Where has {who} been on trips?
        What places did {who} travel to?
    """),
    lines("""
        Would {who} be a good person to ask for tips about {other}?
        Has {who} any first-hand experience of {other}?
        Could {who} recommend a restaurant in {other}?
    """),
    details("""
        Did you go alone?
        I went to {thing} with {relative}, who had never left the country before.
        With {relative}, who had never left the country before.
        Who went to {thing} with {who}?
        Who accompanied {who} on the holiday in {other}?
        How was the place you stayed in?
        Our room in {thing} had {colour} walls and a view of {number} chimneys.
        Tiny! It had {colour} walls and a view of {number} chimneys.
        What colour were the walls of the room in {thing} where {who} stayed?
        How was the accommodation of {who} in {other} painted?
        What did you bring back?
        From {thing} I brought a {colour} {souvenir} that {friend} had asked for.
        A {colour} {souvenir}, {friend} had asked for one.
        What did {who} bring back from {thing}?
        Which present did {who} carry home from {other}?
        Any mishaps on the way?
        In {thing} {flaw}, but we laughed about it.
        Of course, {flaw}. We laughed about it later.
        What went wrong for {who} in {thing}?
        Which bad luck hit {who} during the stay in {other}?
        What made you go just then?
        We chose {thing} because {reason}.
        Well, {reason}.
        Why did {who} choose {thing}?
        What was the motivation of {who} for seeing {other}?
    """),
)
PET = Topic(
    "pet",
    pairs("""
        a greyhound|a slim racing dog
        a tabby kitten|a striped young cat
        two guinea pigs|a pair of rodents
        a cockatiel|a crested bird
        a tortoise|a slow reptile with a shell
        a rescue beagle|an abandoned hound
        a black rabbit|a long-eared rodent
        a parrot|a talking bird
        a hamster|a small rodent in a wheel
        an iguana|a green lizard
        a dachshund|a sausage dog
        a Siamese cat|a feline from Thailand
        a pony|a small horse
        three hens|poultry laying eggs
        a ferret|a weasel-like animal
        a goldfish|a swimmer in a bowl
    """),
    lines("""
        I adopted {thing} {when}!
        {when_c} we brought {thing} home, the flat is upside down.
        Big news: there is {thing} living with me, since we picked it up {when}.
        I couldn't resist and got {thing} {when}.
    """),
    lines("""
        When did {who} adopt {thing}?
        When did {who} get {thing}?
        When did {who} bring {thing} home?
    """),
    lines("""
        When did {other} move in with {who}?
        Since when does {who} take care of {other}?
    """),
    lines("""
        Which animal did {who} adopt in {month}?
        What pet did {who} get in {month}?
    """),
    lines("""
        What pets does {who} have?
        Which animals has {who} adopted or brought home?
    """),
    lines("""
        Would {who} need somebody to look after {other} during holidays?
        Does {who} have to buy food for {other}?
    """),
    details("""
        What's the name?
        We called {thing} {petname}, after a character in a cartoon.
        {petname}, after a character in a cartoon.
        What is the name of {thing} that {who} adopted?
        How does {who} call {other}?
        Where did you find it?
        The people at {place} had {thing} in a cardboard box.
        At {place}, in a cardboard box, can you imagine?
        Where did {who} find {thing}?
        From where does {other} of {who} come?
        And how do you get along?
        The first night with {thing} was wild, {flaw}.
        The first night was wild, {flaw}.
        What happened in the first night with {thing} at the home of {who}?
        Which chaos did {who} live through when {other} arrived?
        Who takes care of it while you work?
        While I work {relative} looks after {thing}.
        {relative_c}, twice a day, for a slice of cake.
        Who looks after {thing} while {who} works?
        Who is the sitter of {other} for {who}?
        What made you do it?
        I wanted {thing} because {reason}.
        Honestly, {reason}.
        Why did {who} get {thing}?
        What drove {who} to have {other}?
    """),
)
WORK = Topic(
    "work",
    pairs("""
        a bakery|a place selling loaves
        a law firm|attorneys
        an animal clinic|a veterinary practice
        a startup for solar panels|a young clean energy company
        a museum|an exhibition house
        a shipping company|a freight business
        a radio station|a broadcaster
        an architecture office|designers of buildings
        a toy factory|a maker of playthings
        a bank|a financial institution
        a primary school|an institution for young pupils
        a bicycle repair shop|a mechanic for two-wheelers
        a publishing house|a producer of books
        a pharmacy|a drugstore
        a film studio|movie producers
        a vineyard|wine growers
    """),
    lines("""
        I got the job at {thing}, they called me {when}!
        {when_c} I had my first day at {thing}.
        I was promoted at {thing} {when}, finally.
        So, I handed in my notice and started at {thing} {when}.
    """),
    lines("""
        When did {who} start at {thing}?
        When did {who} get the job at {thing}?
        When was the first day of {who} at {thing}?
    """),
    lines("""
        When was {who} hired by {other}?
        Since when is {who} employed by {other}?
    """),
    lines("""
        Which job did {who} get in {month}?
        Where did {who} start a job in {month}?
    """),
    lines("""
        Where has {who} worked or got a job?
        Which jobs did {who} start?
    """),
    lines("""
        Does the career of {who} have anything to do with {other}?
        Would the colleagues of {who} be {other}?
    """),
    details("""
        What are the people like?
        At {thing} I share a desk with {friend}, who hums {hum} all day.
        I share a desk with {friend}, who hums {hum} all day.
        With whom does {who} share a desk at {thing}?
        Who sits beside {who} in the new position with {other}?
        How is the commute?
        It takes me {number} stops to {thing}, then a walk past {place}.
        {number_c} stops, then a walk past {place}.
        How many stops is it for {who} to {thing}?
        How long is the way of {who} to the employer, {other}?
        What was the first thing they made you do?
        At {thing} I had to sort {number} boxes of {colour} folders.
        Sort {number} boxes of {colour} folders, no joke.
        What did {who} have to do first at {thing}?
        Which initial task was given to {who} by {other}?
        Did you celebrate?
        After the news from {thing} {relative} invited me to {place}.
        Sure, {relative} invited me to {place}.
        Who celebrated the job at {thing} with {who}?
        Who treated {who} after being hired by {other}?
        Why did you leave the old place?
        I went to {thing} because {reason}.
        You know me, {reason}.
        Why did {who} go to {thing}?
        What explains the career move of {who} towards {other}?
    """),
)
SHOW = Topic(
    "show",
    pairs("""
        a jazz concert|improvised brass tunes
        an opera|classical singing on stage
        a ballet|dancers on tiptoe
        a puppet theatre|marionettes
        a circus|acrobats in a tent
        a film festival|several days of cinema
        a poetry slam|rhymes read aloud
        a drone show|flying lights
        a magic show|an illusionist
        a wrestling match|fighters in a ring
        an organ recital|church music with pipes
        a musical about pirates|singing sailors
        a street art exhibition|murals
        a planetarium show|projected stars
        a fashion show|models on a catwalk
        a science fair|experiments by pupils
    """),
    lines("""
        I went to {thing} {when} and I am still buzzing.
        {when_c} I saw {thing}, front row!
        We had tickets for {thing} {when}.
        You should have been at {thing} with us {when}.
    """),
    lines("""
        When did {who} go to {thing}?
        When did {who} see {thing}?
        For which day did {who} have tickets for {thing}?
    """),
    lines("""
        When did {who} watch {other}?
        When was {who} entertained by {other}?
    """),
    lines("""
        Which show did {who} see in {month}?
        What did {who} have tickets for in {month}?
    """),
    lines("""
        Which shows and events has {who} been to?
        What did {who} see or have tickets for?
    """),
    lines("""
        Would {who} appreciate an evening with {other}?
        Might {who} like a present connected with {other}?
    """),
    details("""
        Who came along?
        {relative_c} came to {thing} with me and cried at the end.
        {relative_c}, who cried at the end.
        Who came to {thing} with {who}?
        Who was in the audience beside {who} for {other}?
        Was it expensive?
        The tickets for {thing} were {price} each.
        {price_c} each, don't ask.
        How much were the tickets for {thing} that {who} had?
        What did admission to {other} cost {who}?
        Where was it?
        They held {thing} at {place} because of the roof works.
        At {place}, because of the roof works elsewhere.
        Where was {thing} that {who} went to?
        What was the venue when {who} enjoyed {other}?
        How did you like the ending?
        The end of {thing} left me {feeling}.
        I walked out {feeling}.
        How did {who} feel at the end of {thing}?
        In what mood did {who} leave {other}?
        Did it all work out?
        Just when {thing} began, {flaw}.
        Almost. Just when it began, {flaw}.
        What went wrong when {thing} began for {who}?
        Which disturbance did {who} notice at {other}?
    """),
)
SPORT = Topic(
    "sport",
    pairs("""
        a half marathon|a long race on foot
        a triathlon|swimming, cycling and running in one day
        a chess tournament|a contest of grandmasters
        a charity bike ride|cycling for a good cause
        a rowing regatta|a boat race
        a bouldering contest|a competition on low walls
        a table tennis final|ping-pong at the last stage
        a swim across the bay|crossing open water
        a dog sled race|being pulled over snow
        a mountain run|a race uphill
        a bowling night|knocking down pins
        a darts league|throwing at a board
        a surf contest|riding waves
        a judo belt exam|a grading in martial arts
    """),
    lines("""
        I finished {thing} {when}, my legs hate me.
        {when_c} I took part in {thing}!
        I did it, I completed {thing} {when}.
        Remember the training? {when_c} it was time for {thing}.
    """),
    lines("""
        When did {who} finish {thing}?
        When did {who} take part in {thing}?
        When was {thing} that {who} completed?
    """),
    lines("""
        When did {who} compete in {other}?
        When did {who} put all that training to use in {other}?
    """),
    lines("""
        Which race or contest did {who} take part in in {month}?
        What did {who} complete in {month}?
    """),
    lines("""
        Which races and contests has {who} taken part in?
        What sports events did {who} finish or complete?
    """),
    lines("""
        Is {who} fit enough for {other}?
        Would {who} own equipment for {other}?
    """),
    details("""
        How did you place?
        In {thing} I came in {ordinal}, better than last time.
        {ordinal_c}, better than last time.
        Which place did {who} get in {thing}?
        What was the rank of {who} after {other}?
        How long did you train?
        I trained {duration} for {thing}, mostly before work.
        {duration_c}, mostly before work.
        How long did {who} train for {thing}?
        What preparation time did {who} need for {other}?
        Who cheered for you?
        {relative_c} stood at {place} with a {colour} banner during {thing}.
        {relative_c} stood at {place} with a {colour} banner.
        Who cheered for {who} during {thing}?
        Which supporter watched {who} in {other}?
        Any trouble?
        Halfway through {thing} {flaw}.
        Halfway through {flaw}.
        What went wrong for {who} during {thing}?
        What almost stopped {who} in {other}?
        Why do you do this to yourself?
        I entered {thing} because {reason}.
        Good question. I guess {reason}.
        Why did {who} enter {thing}?
        What made {who} attempt {other}?
    """),
)
