"""Vocabulary of the built-in corpus: cue words of each emotion and words that say nothing about it.

Every word is plain a to z and stands in one list only (tests check both); the first words of a list are used most.
"""

from __future__ import annotations

CUES: dict[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, words in {
        "admiration": (
            "brilliant impressive talented amazing masterful skilled excellent superb outstanding genius gifted"
            " remarkable stunning flawless respect inspiring legendary incredible magnificent graceful admirable"
            " heroic polished exemplary phenomenal virtuoso elegant praiseworthy stellar exquisite"
        ),
        "amusement": (
            "funny hilarious laughing lol joke comedy giggle silly haha witty chuckle goofy prank meme banter"
            " ridiculous clown snort cackling humor punchline absurdly playful cartoonish gag slapstick tickled"
            " parody quip smirk"
        ),
        "anger": (
            "angry furious rage hate screaming livid outrage fuming hostile shouting damn enraged vicious attack"
            " revenge slammed yelling bitter spiteful fight betrayed wrath seething hateful boiling cursed brutal"
            " violent scowl foe"
        ),
        "annoyance": (
            "annoying irritating bothers nagging tiresome pesky whining rude spam bugging noisy interrupting clumsy"
            " obnoxious sigh grating petty nuisance stupid loud pushy slow repetitive eyeroll needy clutter chewing"
            " tedious hassle meddling"
        ),
        "approval": (
            "agree right correct yes exactly fair valid sensible support approve reasonable sound proper endorse"
            " true legit solid accurate wise indeed justified acceptable thumbs sure logical seconded suitable"
            " fitting sane granted"
        ),
        "caring": (
            "comfort protect gentle healing hug safe nurse shelter rest kindly sheltering tender listening welfare"
            " helping nurturing checkup remedy soothe blanket recover guardian careful volunteer cradle mend lullaby"
            " feed"
        ),
        "confusion": (
            "confused unclear puzzled lost baffled contradictory vague cryptic ambiguous misunderstood perplexed"
            " unsure muddled bewildered garbled doubtful inconsistent mislabeled jumbled foggy scrambled puzzling"
            " obscure misread tangled dizzying unexplained"
        ),
        "curiosity": (
            "curious wondering question ask investigate explore learn discover interested source details detective"
            " research background mystery inquire experiment origin clue examine peek study explain hint reveal"
            " poking documentary trivia probing"
        ),
        "desire": (
            "want wish craving longing hungry covet yearning tempted wanting thirst someday wishlist lust pining"
            " coveted ambition appetite drool hankering tempting aspire reach envy keen pursuing"
        ),
        "disappointment": (
            "disappointed letdown underwhelming failed lousy mediocre bland wasted hollow dull flop regrettable"
            " weak cancelled subpar overhyped lackluster unfinished ruined downgrade meh stale faded unfulfilled"
            " dashed lukewarm fizzled"
        ),
        "disapproval": (
            "disagree wrong no refuse unacceptable reject oppose unfair objection condemn against misguided"
            " forbidden incorrect denied criticize ban inappropriate flawed unjust veto protest dismiss improper"
            " nonsense invalid biased frowned"
        ),
        "disgust": (
            "disgusting gross vomit nasty rotten revolting filthy sickening vile stench moldy repulsive slimy foul"
            " nauseous putrid creepy greasy maggots sewage yuck grotesque contaminated smelly repugnant spit pus"
            " stinking toxic cringe"
        ),
        "embarrassment": (
            "embarrassed awkward blushing ashamed humiliated tripped stammered mortified cheeks exposed sheepish"
            " facepalm caught wardrobe stumbled mispronounced bashful flustered gaffe stain unzipped zipper"
            " misspelled oops ridiculed hiding fumbled"
        ),
        "excitement": (
            "excited thrilled pumped hyped countdown stoked electric fireworks launching energetic tickets buzzing"
            " adventure cheering racing ecstatic trailer bouncing premiere rollercoaster festival epic woohoo"
            " upcoming unboxing adrenaline exhilarating kickoff goosebumps"
        ),
        "fear": (
            "afraid scared terrified horror nightmare panic danger frightening haunted threat trembling monster"
            " dread screamed phobia spooky lurking alarming darkness stalker menace petrified shadows ghost eerie"
            " doom cower predator hostage fatal"
        ),
        "gratitude": (
            "thanks thank grateful appreciate thankful blessed gratitude helpful owe thx kindness cheers indebted"
            " generous acknowledge thoughtful lifesaver favor repay gift appreciated beholden gracious recognized"
            " bouquet toast credit"
        ),
        "grief": (
            "died funeral mourning grave loss condolences widow memorial buried bereaved farewell coffin tombstone"
            " rip heaven orphan ashes obituary sorrowful deceased grieving departed wake eulogy cemetery cremated"
            " lifeless hospice mourner"
        ),
        "joy": (
            "happy glad smile delighted cheerful joyful sunshine celebrate dancing wonderful pleased merry fun"
            " blissful singing jolly radiant beaming party enjoyed holiday birthday upbeat giddy grinning rainbow"
            " carefree lighthearted festive"
        ),
        "love": (
            "love adore beloved sweetheart darling romantic cherish kiss heart affection devoted favorite cuddle"
            " passion marry soulmate crush lovely fond valentine tenderness embrace infatuated dearest wedding"
            " intimate smitten treasured loving"
        ),
        "nervousness": (
            "nervous anxious worried jittery sweating tense uneasy exam interview pacing butterflies restless"
            " fidgeting shaky insomnia apprehensive hesitant stage audition clammy jumpy stuttering unsettled"
            " deadline overthinking frantic twitchy wavering"
        ),
        "optimism": (
            "hope hopeful better improve tomorrow believe positive future bright promising confident recovery"
            " brighter progress opportunity encouraging faith eventually rebound upward chance growth possible dawn"
            " resilient plan thriving"
        ),
        "pride": (
            "proud achievement accomplished medal graduated trophy earned milestone honor dignity champion triumph"
            " diploma victory record winner distinction award prestige boast promoted conquered ribbon crowned title"
            " salute podium"
        ),
        "realization": (
            "realized noticed suddenly understood dawned clicked apparently epiphany figured hindsight awakening oh"
            " insight remembered recognised aha connected obviously revelation pattern clarity piece"
        ),
        "relief": (
            "relieved phew calm breathe exhale resolved unburdened rescued lifted relax survived avoided soothed"
            " cleared escaped untangled spared settled loosened eased cured peaceful narrowly ceasefire landed"
        ),
        "remorse": (
            "sorry apologize regret guilt forgive mistake fault apology guilty repent atonement amends regretful"
            " wronged confess shame pardon undo conscience contrite sincere selfish reckless forgiveness penance"
        ),
        "sadness": (
            "sad crying tears lonely depressed heartbroken miserable gloomy hurting unhappy sobbing empty despair"
            " melancholy abandoned blue broken weeping hopeless sorrow grim rainy homesick downcast isolated somber"
            " wounded numb ache mournful"
        ),
        "surprise": (
            "surprised shocked unexpected wow unbelievable astonished speechless omg stunned suddenness gasp jaw"
            " startled bombshell wild astounding sudden whoa blindsided staggering twist incredulous unforeseen"
            " jackpot"
        ),
        "neutral": (
            "report schedule update page section list number standard version regular office table street north"
            " weekly item system default average monday paper building available index entry typical route label"
            " count"
        ),
    }.items()
}
"""Words that point at one emotion, most frequent first; keys in the order of the GoEmotions label ids."""

GROUPS: tuple[tuple[str, ...], ...] = (
    ("admiration", "approval", "pride", "desire"),
    ("gratitude", "caring", "relief", "love"),
    ("joy", "amusement", "excitement", "optimism"),
    ("anger", "annoyance", "disapproval", "disgust"),
    ("sadness", "disappointment", "remorse", "grief"),
    ("surprise", "curiosity", "confusion", "realization"),
    ("fear", "nervousness", "embarrassment", "neutral"),
)
"""Emotions that are easily taken for one another: their cues leak into each other's texts."""

NOUNS: tuple[str, ...] = tuple(
    (
        "game movie team season song friend day week story show book phone car house dog cat kid job work school"
        " class teacher boss city town road train bus trip beach garden kitchen dinner coffee lunch breakfast pizza"
        " soup bread cake music band album concert guitar piano camera picture video channel episode character"
        " ending plot scene actor player coach goal match league score ball field court park river lake mountain"
        " forest tree flower bird horse fish weather winter summer spring autumn night morning evening weekend month"
        " year hour minute life family mother father sister brother cousin uncle aunt neighbor partner husband wife"
        " baby teenager adult doctor hospital store market shop price money bank ticket seat window door wall floor"
        " roof room bed chair desk lamp clock mirror box bag coat shoe shirt hat dress color paint letter message"
        " email call post comment thread forum website app screen keyboard laptop computer program code project idea"
        " reason answer problem point word sentence language country state law vote election news article newspaper"
        " radio station engine wheel bridge tower castle museum library church island ocean boat plane airport hotel"
        " restaurant menu recipe salad cheese apple orange banana berry tea juice water bottle glass cup plate spoon"
        " knife fork sofa carpet curtain fence gate path hill valley desert storm cloud wind snow ice moon star"
        " planet rocket robot machine tool hammer nail rope paperclip pencil notebook homework lesson grade college"
        " campus degree career manager customer company product brand factory farm tractor cow sheep chicken egg"
        " kitchenette"
    ).split()
)
"""Things a text may be about, most frequent first."""

VERBS: tuple[str, ...] = tuple(
    (
        "saw made watched found heard read took bought played used told gave met brought kept left started finished"
        " changed opened closed moved turned carried built fixed cooked cleaned washed painted wrote sent posted"
        " shared followed visited called checked picked dropped pulled pushed showed tried handled ordered sold"
        " borrowed returned copied printed recorded measured counted planned described mentioned suggested"
        " recommended compared replaced tested repaired designed produced filmed edited delivered packed loaded"
        " parked drove rode walked passed crossed climbed"
    ).split()
)
"""Things people did, most frequent first."""

ADVERBS: tuple[str, ...] = tuple(
    (
        "really just still always again today now maybe actually probably honestly simply quite almost already"
        " often sometimes usually later tonight yesterday recently soon everywhere together alone outside inside"
        " nearby upstairs online basically literally mostly partly clearly quickly slowly quietly twice once anyway"
        " instead though"
    ).split()
)
"""Words of time and degree, most frequent first."""

ADJECTIVES: tuple[str, ...] = tuple(
    (
        "new old big small long short whole first last next other same different local public private early late"
        " young tall wide narrow heavy light green yellow white black brown round flat wooden plastic modern ancient"
        " foreign digital simple common spare extra second third double single major minor central western eastern"
        " southern northern daily annual official original famous ordinary crowded quiet warm cold hot cool dry wet"
        " clean"
    ).split()
)
"""Properties, most frequent first."""

TEMPLATES: tuple[str, ...] = (
    "i felt CUE when you VERB the NOUN",
    "that NOUN was ADVERB CUE and CUE",
    "CUE CUE about this NOUN",
    "so CUE ADVERB",
    "they VERB a CUE ADJECTIVE NOUN",
    "the ADJECTIVE NOUN is CUE to me",
    "my NOUN VERB it ADVERB CUE",
    "CUE after we VERB our NOUN",
    "it was ADVERB a CUE CUE NOUN",
    "someone VERB the NOUN CUE",
    "what a CUE NOUN",
    "for the ADJECTIVE NOUN ADVERB",
    "CUE in the NOUN with CUE",
    "she said CUE and he VERB CUE",
)
"""Phrases of own making; capital words are slots. A text is two or three of them."""
