BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE attempts (
	cell_id TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	kind TEXT, 
	reason TEXT, 
	log TEXT, 
	pack_id TEXT, 
	host TEXT, 
	pid INTEGER, 
	started_at TEXT, 
	ended_at TEXT, 
	PRIMARY KEY (cell_id, epoch, attempt), 
	CONSTRAINT attempts_state CHECK (state IN ('pending', 'running', 'interrupted', 'done', 'failed')), 
	CONSTRAINT attempts_kind CHECK (kind IN ('user', 'environment', 'transient', 'out_of_memory', 'diverged', 'bug')), 
	FOREIGN KEY(cell_id) REFERENCES cells (cell_id)
);
INSERT INTO "attempts" VALUES('0000000000000001',1,1,'done',NULL,NULL,'logs/1-pack-1.jsonl','pack-1','node-7',4321,'2026-11-21T23:25:46.815+00:00','2026-11-21T23:25:46.853+00:00');
INSERT INTO "attempts" VALUES('0000000000000002',1,1,'failed','diverged','loss is nan at step 7','logs/1-pack-1.jsonl','pack-1',NULL,NULL,'2026-11-21T23:25:46.870+00:00','2026-11-21T23:25:46.879+00:00');
CREATE TABLE cells (
	cell_id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	grid TEXT NOT NULL, 
	model TEXT, 
	strategy TEXT NOT NULL, 
	dataset TEXT NOT NULL, 
	protocol TEXT NOT NULL, 
	num_labels INTEGER, 
	num_samples INTEGER, 
	seed INTEGER NOT NULL, 
	variant TEXT, 
	axes_json TEXT NOT NULL, 
	spec_json TEXT NOT NULL, 
	title TEXT NOT NULL, 
	retired BOOLEAN NOT NULL, 
	state TEXT NOT NULL, 
	kind TEXT, 
	reason TEXT, 
	log TEXT, 
	epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	PRIMARY KEY (cell_id), 
	CONSTRAINT cells_state CHECK (state IN ('pending', 'running', 'interrupted', 'done', 'failed')), 
	CONSTRAINT cells_kind CHECK (kind IN ('user', 'environment', 'transient', 'out_of_memory', 'diverged', 'bug')), 
	CONSTRAINT cells_failed_has_kind CHECK ((state = 'failed') = (kind IS NOT NULL)), 
	CONSTRAINT cells_retired CHECK (retired IN (0, 1))
);
INSERT INTO "cells" VALUES('0000000000000001',0,'sample','tiny-bert','qlora','builtin','nested',2,100,1,NULL,'{"model": "tiny-bert", "seed": 1}','{"axes":{"model":"tiny-bert","seed":1},"cell_id":"0000000000000001","compute":{"base":"auto","device":"auto","numerics":"auto","precision":"auto","slots":null},"data":{"bad_rows":"fail","format":"auto","id":"","label_column":"label","labels":null,"max_bad_fraction":0.01,"num_labels":2,"num_samples":100,"num_samples_per":"total","overlap":"refuse","path":"","protocol":"nested","revision":null,"rows":60000,"source":"builtin","subset":null,"task":"single_label","test_per_label":100,"text_column":"text","validation_per_label":25},"grid":"sample","keep_weights":"adapters","lora":{"alpha":16,"dropout":0.0,"r":8,"targets":null},"model":{"location":"bert","name":"tiny-bert","revision":"1","source":"tiny"},"quantization":{"double":true,"type":"nf4"},"recipe":{"batch_size":4,"epochs":5,"eval_every":null,"gradient_accumulation":1,"learning_rate":0.0001,"max_grad_norm":1.0,"max_length":128,"optimizer":"adamw","patience":null,"schedule":"cosine","select_on":"accuracy","warmup_ratio":null,"warmup_steps":0,"weight_decay":0.01},"seed":1,"strategy":"qlora","variant":null}','tiny-bert qlora 2 labels 100 rows seed 1',0,'done',NULL,NULL,'logs/1-pack-1.jsonl',1,1);
INSERT INTO "cells" VALUES('0000000000000002',1,'sample','tiny-bert','qlora','builtin','nested',2,100,2,NULL,'{"model": "tiny-bert", "seed": 2}','{"axes":{"model":"tiny-bert","seed":2},"cell_id":"0000000000000002","compute":{"base":"auto","device":"auto","numerics":"auto","precision":"auto","slots":null},"data":{"bad_rows":"fail","format":"auto","id":"","label_column":"label","labels":null,"max_bad_fraction":0.01,"num_labels":2,"num_samples":100,"num_samples_per":"total","overlap":"refuse","path":"","protocol":"nested","revision":null,"rows":60000,"source":"builtin","subset":null,"task":"single_label","test_per_label":100,"text_column":"text","validation_per_label":25},"grid":"sample","keep_weights":"adapters","lora":{"alpha":16,"dropout":0.0,"r":8,"targets":null},"model":{"location":"bert","name":"tiny-bert","revision":"1","source":"tiny"},"quantization":{"double":true,"type":"nf4"},"recipe":{"batch_size":4,"epochs":5,"eval_every":null,"gradient_accumulation":1,"learning_rate":0.0001,"max_grad_norm":1.0,"max_length":128,"optimizer":"adamw","patience":null,"schedule":"cosine","select_on":"accuracy","warmup_ratio":null,"warmup_steps":0,"weight_decay":0.01},"seed":2,"strategy":"qlora","variant":null}','tiny-bert qlora 2 labels 100 rows seed 2',0,'failed','diverged','loss is nan at step 7','logs/1-pack-1.jsonl',1,1);
INSERT INTO "cells" VALUES('0000000000000003',2,'sample','tiny-bert','qlora','builtin','nested',2,100,3,NULL,'{"model": "tiny-bert", "seed": 3}','{"axes":{"model":"tiny-bert","seed":3},"cell_id":"0000000000000003","compute":{"base":"auto","device":"auto","numerics":"auto","precision":"auto","slots":null},"data":{"bad_rows":"fail","format":"auto","id":"","label_column":"label","labels":null,"max_bad_fraction":0.01,"num_labels":2,"num_samples":100,"num_samples_per":"total","overlap":"refuse","path":"","protocol":"nested","revision":null,"rows":60000,"source":"builtin","subset":null,"task":"single_label","test_per_label":100,"text_column":"text","validation_per_label":25},"grid":"sample","keep_weights":"adapters","lora":{"alpha":16,"dropout":0.0,"r":8,"targets":null},"model":{"location":"bert","name":"tiny-bert","revision":"1","source":"tiny"},"quantization":{"double":true,"type":"nf4"},"recipe":{"batch_size":4,"epochs":5,"eval_every":null,"gradient_accumulation":1,"learning_rate":0.0001,"max_grad_norm":1.0,"max_length":128,"optimizer":"adamw","patience":null,"schedule":"cosine","select_on":"accuracy","warmup_ratio":null,"warmup_steps":0,"weight_decay":0.01},"seed":3,"strategy":"qlora","variant":null}','tiny-bert qlora 2 labels 100 rows seed 3',0,'pending',NULL,NULL,NULL,0,0);
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('grid','sample');
INSERT INTO "meta" VALUES('created_at','2026-11-21T23:25:46+00:00');
CREATE TABLE metrics (
	cell_id TEXT NOT NULL, 
	split TEXT NOT NULL, 
	name TEXT NOT NULL, 
	label TEXT NOT NULL, 
	value DOUBLE, 
	undefined TEXT, 
	PRIMARY KEY (cell_id, split, name, label), 
	CONSTRAINT metrics_value_or_reason CHECK ((value IS NULL) <> (undefined IS NULL)), 
	CONSTRAINT metrics_finite CHECK (value IS NULL OR (typeof(value) = 'real' AND abs(value) <= 1.7976931348623157e308)), 
	FOREIGN KEY(cell_id) REFERENCES cells (cell_id)
)
 WITHOUT ROWID

;
INSERT INTO "metrics" VALUES('0000000000000001','test','accuracy','',0.75,NULL);
INSERT INTO "metrics" VALUES('0000000000000001','test','f1','anger',3.33333333333333314829e-01,NULL);
INSERT INTO "metrics" VALUES('0000000000000001','test','f1','joy',NULL,'class joy is not in the split');
INSERT INTO "metrics" VALUES('0000000000000001','test','f1_macro','',NULL,'class joy is not in the split');
INSERT INTO "metrics" VALUES('0000000000000001','validation','loss','',3.00000000000000044408e-01,NULL);
CREATE TABLE pins (
	name TEXT NOT NULL, 
	revision TEXT NOT NULL, 
	pinned_at TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "pins" VALUES('model:owner/name','0000000000000000000000000000000000000000','2026-11-21T23:25:46.887+00:00');
CREATE TABLE results (
	cell_id TEXT NOT NULL, 
	epoch INTEGER NOT NULL, 
	attempt INTEGER NOT NULL, 
	folder TEXT NOT NULL, 
	num_classes INTEGER, 
	num_train INTEGER, 
	num_validation INTEGER, 
	num_test INTEGER, 
	epochs DOUBLE NOT NULL, 
	effective_batch_size INTEGER, 
	best_step INTEGER, 
	stopped_step INTEGER, 
	trainable_parameters INTEGER, 
	total_parameters INTEGER, 
	train_seconds DOUBLE, 
	train_samples_per_second DOUBLE, 
	eval_samples_per_second DOUBLE, 
	peak_memory_bytes DOUBLE, 
	total_flops DOUBLE, 
	device TEXT, 
	dtype TEXT, 
	base_mode TEXT, 
	numerics TEXT, 
	counts_json TEXT NOT NULL, 
	hashes_json TEXT NOT NULL, 
	costs_json TEXT NOT NULL, 
	provenance_json TEXT NOT NULL, 
	marks_json TEXT NOT NULL, 
	label_names_json TEXT NOT NULL, 
	ingested_at TEXT NOT NULL, 
	PRIMARY KEY (cell_id), 
	FOREIGN KEY(cell_id) REFERENCES cells (cell_id)
);
INSERT INTO "results" VALUES('0000000000000001',1,1,'cells/0000000000000001/1-1-dd16c3e7',2,100,NULL,20,5.0,NULL,50,NULL,NULL,NULL,1.5,NULL,NULL,2000000000.0,NULL,'cpu','float32',NULL,NULL,'{"best_step":50,"num_test":20,"num_train":100,"texts_truncated":3}','{"train":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","weights":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}','{"peak_memory_bytes":2000000000.0,"train_seconds":1.5}','{"device":"cpu","dtype":"float32","host":"node-7","pid":4321,"threads":2}','["base: resident"]','["joy","anger"]','2026-11-21T23:25:46.853+00:00');
CREATE TABLE runs (
	epoch INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	boot_id TEXT NOT NULL, 
	started_at TEXT NOT NULL, 
	ended_at TEXT, 
	config_json TEXT NOT NULL, 
	exit_code INTEGER, 
	PRIMARY KEY (epoch)
);
INSERT INTO "runs" VALUES(1,'somewhere',16792,'','2026-11-21T23:25:46.786+00:00','2026-11-21T23:25:46.890+00:00','{}',1);
COMMIT;
