"""More kinds of events for the generated conversations."""

from .topics import HOBBY, PET, SHOW, SPORT, TRIP, WORK, Topic, details
from .words import lines, pairs, parts

FOOD = Topic(
    "food",
    pairs("""
        paella|the Spanish rice dish
        dumplings|stuffed dough parcels
        a lemon tart|a sour citrus dessert
        goulash|the Hungarian stew
        sushi|raw fish rolls
        pumpkin soup|a broth of autumn squash
        kimchi|Korean fermented cabbage
        an apple pie|a fruit pastry
        falafel|fried chickpea balls
        lasagne|layered Italian pasta
        a wedding cake|a tiered sweet for a bride
        rhubarb jam|a pink spread in jars
        ramen|Japanese noodle broth
        pickled herring|sour fish
        tiramisu|a coffee flavoured dessert
        borscht|beetroot broth
    """),
    lines("""
        I made {thing} from scratch {when}.
        {when_c} I cooked {thing} for the whole family!
        My attempt at {thing} {when} actually worked.
        I promised you news about {thing}: I served it {when}.
    """),
    lines("""
        When did {who} make {thing}?
        When did {who} cook {thing}?
        When did {who} serve {thing}?
    """),
    lines("""
        When did {who} prepare {other}?
        When was {other} on the table of {who}?
    """),
    lines("""
        What did {who} cook in {month}?
        Which dish did {who} make in {month}?
    """),
    lines("""
        Which dishes has {who} made or cooked?
        What has {who} cooked from scratch?
    """),
    lines("""
        Could {who} teach somebody to prepare {other}?
        Would {who} order {other} in a restaurant?
    """),
    details("""
        Whose recipe was it?
        The recipe for {thing} came from {relative}, on a {colour} card.
        From {relative}, on a {colour} card full of stains.
        Whose recipe did {who} use for {thing}?
        Where did {who} learn to prepare {other}?
        What is the secret?
        For {thing} I use {number} spoons of {spice}.
        {number_c} spoons of {spice}. Don't tell anyone.
        What is the secret of {thing} that {who} makes?
        Which flavouring does {who} put into {other}?
        Did they like it?
        {friend} ate {number} portions of {thing}.
        {friend} had {number} portions!
        Who ate so many portions of {thing} that {who} made?
        Which guest of {who} was most fond of {other}?
        No kitchen disasters?
        While {thing} was on the stove, {flaw}.
        Well, {flaw}.
        What went wrong while {who} made {thing}?
        Which incident happened to {who} while preparing {other}?
        Where do you get the ingredients?
        I buy everything for {thing} at {place}.
        Only at {place}, before eight.
        Where does {who} buy the ingredients for {thing}?
        Which shop supplies {who} for {other}?
    """),
)
HOME = Topic(
    "home",
    pairs("""
        the dishwasher|the machine that cleans plates
        the roof|the top of the house
        the bathroom tiles|the ceramic squares by the shower
        a bunk bed|two mattresses above each other
        the balcony|the outdoor platform
        a greenhouse|a glass house for seedlings
        the front door|the entrance
        a bookshelf|storage for novels
        the wood stove|the fireplace
        the kitchen tap|the faucet
        a treehouse|a hut among branches
        the hallway floor|the planks of the corridor
        the doorbell|the chime at the entrance
        a sofa|a couch
        the garage|the shelter for the car
        the curtains|the drapes
    """),
    lines("""
        I replaced {thing} {when}, what a mess.
        {when_c} we finally finished {thing}.
        I built {thing} with my own hands {when}!
        Long story, but I had to repair {thing} {when}.
    """),
    lines("""
        When did {who} replace {thing}?
        When did {who} repair or finish {thing}?
        When was {thing} of {who} done?
    """),
    lines("""
        When did {who} take care of {other}?
        When did {who} renovate {other}?
    """),
    lines("""
        What did {who} repair in {month}?
        What did {who} replace or build at home in {month}?
    """),
    lines("""
        What has {who} repaired, replaced or built at home?
        Which things at home did {who} finish?
    """),
    lines("""
        Is {who} handy enough to deal with {other}?
        Would {who} know a craftsman for {other}?
    """),
    details("""
        How much did that cost you?
        In the end {thing} cost me {price}.
        {price_c}, plus pizza for the helpers.
        How much did {thing} cost {who}?
        What did {who} pay for {other}?
        Who helped you?
        {friend} helped me with {thing}, and {relative} held the lamp.
        {friend} helped, and {relative} held the lamp.
        Who helped {who} with {thing}?
        Who assisted {who} in the work on {other}?
        Which colour did you take?
        I painted {thing} {colour}, against all advice.
        {colour_c}, against all advice.
        Which colour did {who} paint {thing}?
        What hue has {other} at the place of {who}?
        Did it go as planned?
        During the work on {thing} {flaw}.
        Never does: {flaw}.
        What went wrong during the work of {who} on {thing}?
        Which accident did {who} have around {other}?
        How long did it take?
        It took {duration} until {thing} was done.
        {duration_c}, I thought it would never end.
        How long did {thing} take {who}?
        How much time did {who} lose on {other}?
    """),
)
HEALTH = Topic(
    "health",
    pairs("""
        my ankle|the joint above the foot
        my wrist|the joint of the hand
        a wisdom tooth|a molar
        my appendix|an organ in the belly
        my knee|the joint of the leg
        my eyes|vision
        my shoulder|the joint of the arm
        an allergy to pollen|hay fever
        my back|the spine
        a stubborn cough|a chest infection
        migraines|bad headaches
        my hearing|the ears
    """),
    lines("""
        I was at the hospital because of {thing} {when}.
        {when_c} I had to see the doctor about {thing}.
        The trouble with {thing} began {when}.
        They finally treated {thing} {when}.
    """),
    lines("""
        When did {who} see the doctor about {thing}?
        When was {who} at the hospital because of {thing}?
        When did the trouble of {who} with {thing} begin?
    """),
    lines("""
        When did {who} need medical help for {other}?
        When did {who} have a problem with {other}?
    """),
    lines("""
        Why was {who} at the hospital in {month}?
        What did {who} see the doctor about in {month}?
    """),
    lines("""
        What health trouble has {who} had?
        What did {who} see doctors or the hospital about?
    """),
    lines("""
        Should {who} be careful with {other}?
        Might {who} have insurance papers concerning {other}?
    """),
    details("""
        What did they say?
        For {thing} the doctor prescribed {number} {remedy} a day.
        {number_c} {remedy} a day, and rest.
        What did the doctor prescribe {who} for {thing}?
        Which therapy was given to {who} against {other}?
        How did it happen?
        It happened to {thing} at {place}, when {flaw}.
        At {place}, when {flaw}.
        How did it happen that {who} had trouble with {thing}?
        What caused the problem of {who} with {other}?
        Who drove you?
        With {thing} like that {relative} had to drive me.
        {relative_c}, at twice the speed limit.
        Who drove {who} to the hospital because of {thing}?
        Who brought {who} to get help for {other}?
        How long will it take?
        {thing_c} will need {duration} to heal.
        {duration_c}, if I behave.
        How long will {thing} of {who} need to heal?
        What recovery period does {who} face with {other}?
    """),
)
FAMILY = Topic(
    "family",
    pairs("""
        the wedding of {relative}|the marriage of a {kin}
        the graduation of {relative}|the degree ceremony of a {kin}
        the retirement party of {relative}|the end of the career of a {kin}
        the housewarming of {relative}|the new flat of a {kin}
        the surprise birthday for {relative}|an unexpected celebration for a {kin}
        the reunion with {relative}|meeting a {kin} again
        the concert of {relative}|a {kin} on stage
        the move of {relative}|a {kin} changing address
        the engagement of {relative}|the plan of a {kin} to marry
        the funeral of {relative}|saying goodbye to a {kin}
    """),
    lines("""
        We had {thing} {when}, everybody came.
        {when_c} it was time for {thing}!
        I'm still tired from {thing} {when}.
        I told you about {thing}, right? It took place {when}.
    """),
    lines("""
        When was {thing} in the family of {who}?
        When did {thing} that {who} talked about take place?
    """),
    lines("""
        When did {who} attend {other}?
        On what date did {who} take part in {other}?
    """),
    lines("""
        Which family event did {who} have in {month}?
        What took place in the family of {who} in {month}?
    """),
    lines("""
        Which family events did {who} talk about?
        What took place in the family of {who}?
    """),
    lines("""
        Would {who} have pictures of {other}?
        Did {who} need formal clothes for {other}?
    """),
    details("""
        What did you give as a present?
        For {thing} I brought a {colour} {souvenir}.
        A {colour} {souvenir}, wrapped in newspaper.
        What present did {who} bring for {thing}?
        Which gift did {who} hand over at {other}?
        How many were you?
        At {thing} we were {number} people in one room.
        {number_c} people in one room!
        How many people were at {thing} with {who}?
        How large was the crowd when {who} attended {other}?
        Where did you celebrate?
        {thing_c} was held at {place}.
        At {place}, under fairy lights.
        Where was {thing} that {who} went to held?
        What venue did the relatives of {who} use for {other}?
        Was there any drama?
        At {thing} {flaw}.
        There always is: {flaw}.
        What went wrong at {thing} that {who} told about?
        Which drama did {who} witness during {other}?
        How are you feeling about it?
        {thing_c} left me {feeling}.
        I was {feeling}.
        How did {who} feel about {thing}?
        In what mood was {who} after {other}?
    """),
)
BOOK = Topic(
    "book",
    pairs("""
        a novel about lighthouse keepers|a story of people guarding ships
        a biography of a mountaineer|the life of a climber
        a cookbook from the fifties|vintage recipes
        a thriller set on a submarine|suspense under water
        a history of salt|the past of a mineral
        a graphic novel about ants|drawn insects
        a fantasy saga with dragons|winged monsters
        a memoir of a midwife|recollections about births
        a book of ghost stories|haunted tales
        a handbook on mushrooms|a guide to fungi
        an atlas of forgotten islands|maps of remote land
        a detective story in Cairo|a crime solved in Egypt
    """),
    lines("""
        I finished reading {thing} {when}.
        {when_c} I started {thing} and I can't put it down.
        I gave up on sleep, I read {thing} {when}.
        I bought {thing} {when}.
    """),
    lines("""
        When did {who} read {thing}?
        When did {who} finish or start {thing}?
    """),
    lines("""
        When did {who} get absorbed by {other}?
        At what time was {who} busy with {other}?
    """),
    lines("""
        What did {who} read in {month}?
        Which book did {who} buy, start or finish in {month}?
    """),
    lines("""
        Which books has {who} read?
        What has {who} been reading?
    """),
    lines("""
        Would {who} be able to discuss {other}?
        Is there anything about {other} on the shelf of {who}?
    """),
    details("""
        Who recommended it?
        {friend} had recommended {thing} to me.
        {friend}, who never reads anything else.
        Who recommended {thing} to {who}?
        Whose suggestion made {who} choose {other}?
        What did you like best?
        In {thing} I loved the chapter with the {colour} {souvenir}.
        The chapter with the {colour} {souvenir}.
        Which chapter of {thing} did {who} love?
        Which part of {other} pleased {who} most?
        Where do you find time to read?
        I read {thing} on the bench at {place}.
        On the bench at {place}, before sunset.
        Where did {who} read {thing}?
        What was the spot where {who} enjoyed {other}?
        How did it leave you?
        {thing_c} left me {feeling}.
        I was {feeling} when I turned the last page.
        How did {who} feel after {thing}?
        What effect did {other} have on {who}?
    """),
)
STUDY = Topic(
    "study",
    pairs("""
        the driving test|the licence for cars
        Portuguese lessons|the language of Brazil
        a first aid course|how to help the injured
        evening classes in accounting|bookkeeping after dark
        a scuba diving certificate|breathing under water
        sign language|talking with hands
        the piano exam|keys and scales before a jury
        a welding course|joining metal
        a night school in law|statutes after work
        a sommelier course|the knowledge of wine
        an online course in statistics|numbers and probability
        a pilot licence|flying planes
    """),
    lines("""
        I passed {thing} {when}!
        {when_c} I enrolled in {thing}.
        My first week with {thing} started {when}.
        I failed the first round of {thing} {when}, but I won't stop.
    """),
    lines("""
        When did {who} pass or enrol in {thing}?
        When did {who} start with {thing}?
    """),
    lines("""
        When did {who} want to learn {other}?
        Since when has {who} been a student of {other}?
    """),
    lines("""
        What did {who} enrol in in {month}?
        Which course or exam did {who} pass in {month}?
    """),
    lines("""
        What is {who} studying or enrolled in?
        Which courses and exams has {who} passed or started?
    """),
    lines("""
        Would {who} have certificates about {other}?
        Could {who} explain the basics of {other}?
    """),
    details("""
        Who teaches it?
        For {thing} I have {friend}, a strict one with {colour} glasses.
        {friend}, a strict one with {colour} glasses.
        Who teaches {who} {thing}?
        Which instructor does {who} have for {other}?
        What does it cost?
        They charge {price} for {thing}.
        {price_c}, in three parts.
        How much do they charge {who} for {thing}?
        What is the fee that {who} pays for {other}?
        What is it good for?
        I do {thing} because {reason}.
        To be frank, {reason}.
        Why does {who} do {thing}?
        What is the purpose of {other} for {who}?
        How long will it go on?
        {thing_c} takes {duration}.
        {duration_c}, if I don't skip.
        How long does {thing} take {who}?
        For what period will {who} be busy learning {other}?
    """),
)
GIFT = Topic(
    "thing",
    pairs("""
        a telescope|an instrument for stargazing
        an electric bike|a motorised two-wheeler
        a sewing machine|a device for stitching
        a typewriter|an old writing device
        a camper van|a home on wheels
        a record player|a turntable for vinyl
        a hammock|a hanging bed
        a drone|a flying gadget
        a cello|a large string instrument
        a coffee grinder|a mill for beans
        a kayak|a narrow boat
        a metal detector|a tool for finding treasure
        a tent for six|canvas lodging
        a necklace with a locket|jewellery for the throat
        a chainsaw|a motor tool for trees
        a sundial|a clock without hands
    """),
    lines("""
        I bought {thing} {when}!
        {when_c} I found {thing} second-hand and took it home.
        Somebody gave me {thing} {when}.
        I sold my old stuff and ordered {thing} {when}.
    """),
    lines("""
        When did {who} buy {thing}?
        When did {who} find or order {thing}?
    """),
    lines("""
        When did {who} become the owner of {other}?
        How long has {who} possessed {other}?
    """),
    lines("""
        What did {who} buy in {month}?
        What did {who} find or order in {month}?
    """),
    lines("""
        What has {who} bought or been given?
        Which things did {who} buy, find or order?
    """),
    lines("""
        Could a friend borrow {other} from {who}?
        Does {who} have to store {other}?
    """),
    details("""
        What did you pay?
        I paid {price} for {thing}.
        {price_c}, and no regrets.
        How much did {who} pay for {thing}?
        What was the cost of {other} for {who}?
        Where did you see it?
        They had {thing} in the window at {place}.
        In a window at {place}.
        Where did {who} see {thing}?
        Which spot made {who} notice {other}?
        Does it work?
        On the first try with {thing} {flaw}.
        Mostly. On the first try {flaw}.
        What went wrong on the first try of {who} with {thing}?
        Which trouble did {other} cause {who}?
        What will you do with it?
        {thing_c} is for {relative}, as a surprise.
        It's for {relative}, as a surprise.
        For whom is {thing} of {who}?
        Who will receive {other} from {who}?
        Which one did you get?
        {thing_c} is {colour}, with {number} stickers on it.
        The {colour} one, with {number} stickers on it.
        What colour is {thing} of {who}?
        How does {other} belonging to {who} look?
    """),
)
TOPICS = (HOBBY, TRIP, PET, WORK, SHOW, SPORT, FOOD, HOME, HEALTH, FAMILY, BOOK, STUDY, GIFT)
SOUVENIRS = parts("teapot|scarf|lantern|mug|blanket|puzzle|umbrella|mirror|chest|kite|hat|rug")
PET_NAMES = parts("Biscuit|Waffle|Domino|Pickle|Juno|Mango|Truffle|Ziggy|Olive|Pepper|Comet|Noodle")
TUNES = lines("""
    sea shanties
    the same waltz
    advertising jingles
    film scores
    lullabies
    marching songs
""")
SPICES = parts("smoked paprika|cardamom|brown butter|star anise|tamarind|fresh dill|nutmeg|sesame oil")
REMEDIES = parts("drops|tablets|stretches|ice packs|short walks|cups of sage tea")
ORDINALS = parts("second|fourth|seventh|ninth|eleventh|twentieth|last but one")
NEVER = lines("""
    Which politician did {who} vote for?
    What is the blood type of {who}?
    How many tattoos does {who} have on the left arm?
    Which password does the router of {who} use?
    What did the astronaut tell {who} about zero gravity?
    Who won the lawsuit about the patent?
    How does photosynthesis turn light into sugar?
    Which compiler flags speed up the matrix code?
    When did the submarine cable to Greenland break?
    What is the boiling point of tungsten?
    Why did the senate reject the tariff bill?
    How do I reset the firmware of the thermostat?
    Which treaty ended the Crimean War?
    What percentage of krill do blue whales swallow?
    Who discovered the moons of Neptune?
    What was the quarterly revenue of the semiconductor division?
    Which kernel version fixed the deadlock in the scheduler?
    When does the comet return to the inner solar system?
    What are the symptoms of scurvy?
    How is titanium refined from ore?
    Which parliament ratified the fishing quota?
    What is the capital requirement for reinsurance brokers?
    Who composed the anthem of Mongolia?
    Which enzyme splits lactose?
    When did {who} meet the prime minister?
    What did {who} testify before the court?
    How much did {who} inherit from the shipping magnate?
    Which orbit did {who} propose for the satellite?
""")
