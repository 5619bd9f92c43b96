-- What the migrations make of an empty SQLite file, by scripts/new_file.py. A test compares both.
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE memories (
	seq INTEGER NOT NULL,
	id VARCHAR(128) NOT NULL,
	version INTEGER NOT NULL,
	namespace VARCHAR(128) NOT NULL,
	kind VARCHAR(48) NOT NULL,
	content TEXT NOT NULL,
	tags TEXT NOT NULL,
	metadata TEXT NOT NULL,
	agent TEXT NOT NULL,
	session TEXT NOT NULL,
	tool TEXT NOT NULL,
	source TEXT NOT NULL,
	trust VARCHAR(16) NOT NULL,
	ts_event_ns BIGINT NOT NULL,
	known_at_ns BIGINT NOT NULL,
	superseded_at_ns BIGINT,
	expires_at_ns BIGINT,
	trajectory_id VARCHAR(128),
	embed BOOLEAN NOT NULL, importance INTEGER DEFAULT '50' NOT NULL, pinned BOOLEAN DEFAULT 0 NOT NULL, valid_from_ns BIGINT, valid_to_ns BIGINT, thread VARCHAR(128), position BIGINT DEFAULT '0' NOT NULL,
	PRIMARY KEY (seq),
	CONSTRAINT memories_id_version UNIQUE (id, version)
);
CREATE INDEX memories_namespace ON memories (namespace, seq);
CREATE TABLE keys (
	digest BLOB NOT NULL,
	fingerprint BLOB NOT NULL,
	memory_id VARCHAR(128) NOT NULL,
	version INTEGER NOT NULL,
	seq BIGINT NOT NULL,
	known_at_ns BIGINT NOT NULL,
	PRIMARY KEY (digest)
)
 WITHOUT ROWID;
CREATE TABLE trajectories (
	id VARCHAR(128) NOT NULL,
	namespace VARCHAR(128) NOT NULL,
	kind VARCHAR(48) NOT NULL,
	title TEXT NOT NULL,
	tags TEXT NOT NULL,
	metadata TEXT NOT NULL,
	agent TEXT NOT NULL,
	opened_at_ns BIGINT NOT NULL,
	closed_at_ns BIGINT,
	outcome TEXT,
	reward BIGINT,
	reward_unit VARCHAR(64) NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX trajectories_opened ON trajectories (opened_at_ns, id);
CREATE TABLE snapshots (
	seq INTEGER NOT NULL,
	desk_id VARCHAR(64) NOT NULL,
	"key" VARCHAR(200) NOT NULL,
	ts_event_ns BIGINT NOT NULL,
	recorded_at_ns BIGINT NOT NULL,
	body TEXT NOT NULL,
	PRIMARY KEY (seq),
	CONSTRAINT snapshots_desk_key UNIQUE (desk_id, "key")
);
CREATE INDEX snapshots_desk_time ON snapshots (desk_id, ts_event_ns, seq);
CREATE INDEX snapshots_desk_seq ON snapshots (desk_id, seq);
CREATE TABLE outbox (
	id INTEGER NOT NULL,
	sink VARCHAR(32) NOT NULL,
	memory_id VARCHAR(128) NOT NULL,
	version INTEGER NOT NULL,
	seq BIGINT NOT NULL,
	committed_at_ns BIGINT NOT NULL,
	due_at_ns BIGINT NOT NULL,
	attempts INTEGER NOT NULL,
	last_error TEXT NOT NULL,
	dead BOOLEAN DEFAULT 0 NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX outbox_live ON outbox (sink, id) WHERE NOT dead;
CREATE TABLE sinks (
	name VARCHAR(32) NOT NULL,
	delivered BIGINT NOT NULL, spec TEXT, node VARCHAR(32), seen_at_ns BIGINT,
	PRIMARY KEY (name)
);
CREATE TABLE head (
	one INTEGER NOT NULL,
	instance_id VARCHAR(36) NOT NULL,
	seq BIGINT NOT NULL,
	outbox_id BIGINT NOT NULL,
	known_at_ns BIGINT NOT NULL,
	memories BIGINT NOT NULL,
	PRIMARY KEY (one)
);
CREATE INDEX memories_thread ON memories (thread, position) WHERE thread IS NOT NULL;
CREATE TABLE links (
	from_id VARCHAR(128) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	to_id VARCHAR(128) NOT NULL,
	to_version INTEGER NOT NULL,
	trajectory_id VARCHAR(128),
	known_at_ns BIGINT NOT NULL,
	ended_at_ns BIGINT,
	PRIMARY KEY (from_id, kind, to_id)
)
 WITHOUT ROWID;
CREATE INDEX links_to ON links (to_id, kind);
CREATE INDEX links_trajectory ON links (trajectory_id) WHERE trajectory_id IS NOT NULL;
CREATE TABLE marks (
	memory_id VARCHAR(128) NOT NULL,
	kind VARCHAR(16) NOT NULL,
	source VARCHAR(200) NOT NULL,
	value BIGINT NOT NULL,
	known_at_ns BIGINT NOT NULL,
	PRIMARY KEY (memory_id, kind, source)
)
 WITHOUT ROWID;
CREATE TABLE audit (
	seq INTEGER NOT NULL,
	at_ns BIGINT NOT NULL,
	action VARCHAR(32) NOT NULL,
	memory_id VARCHAR(128),
	namespace VARCHAR(128),
	kind VARCHAR(48) NOT NULL,
	agent TEXT NOT NULL,
	reason TEXT NOT NULL,
	detail TEXT NOT NULL,
	PRIMARY KEY (seq)
);
CREATE INDEX audit_memory ON audit (memory_id) WHERE memory_id IS NOT NULL;
CREATE INDEX audit_action ON audit (action, seq);
CREATE TABLE policies (
	namespace VARCHAR(129) NOT NULL,
	policy TEXT NOT NULL,
	updated_at_ns BIGINT NOT NULL,
	PRIMARY KEY (namespace)
);
CREATE TABLE cursors (
	name VARCHAR(200) NOT NULL,
	seq BIGINT NOT NULL,
	updated_at_ns BIGINT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE leases (
	name VARCHAR(64) NOT NULL,
	holder VARCHAR(64) NOT NULL,
	token BIGINT NOT NULL,
	until_ns BIGINT NOT NULL,
	PRIMARY KEY (name)
);
CREATE INDEX outbox_dead ON outbox (sink, id) WHERE dead;
INSERT INTO alembic_version (version_num) VALUES ('0005');
