"""Wrong requests: each is refused before anything starts, in one line that says what would be right."""

from pathlib import Path

import pytest

from tests.cli.conftest import Distbp, Launched

COUNT = "a whole number from 1 to 2147483647"
OPTIMIZERS = "one of adafactor, adagrad, adam, adamw, lamb, rmsprop, sgd is allowed"
VERBS = "train, evaluate, explain, check, find_lr, bench, data, doctor"

# The words of a request, two blanks between them; the key and the value that the answer begins with; what is allowed;
# the nearest right name.
WRONG = [
    # keys
    ("lrr=1", "lrr=1", "there is no such key", "optimizer.lr"),
    ("+lrr=1", "lrr=1", "there is no such key", "optimizer.lr"),
    ("++lrr=1", "lrr=1", "there is no such key", "optimizer.lr"),
    ("lr=0.1", "lr=0.1", "there is no such key", "optimizer.lr"),
    ("optimizer.lrr=1", "optimizer.lrr=1", "there is no such key", "optimizer.lr"),
    ("+optimizer.lrr=1", "optimizer.lrr=1", "there is no such key", "optimizer.lr"),
    ("batchsize=8", "batchsize=8", "there is no such key", "batch_size"),
    ("++comm.timeuot=8", "comm.timeuot=8", "there is no such key", "comm.timeout"),
    ("workload.hiden=[8]", "workload.hiden=[8]", "there is no such key", "workload.hidden"),
    ("optimizer=sgd  optimizer.beta1=0.9", "optimizer.beta1=0.9", "there is no such key", ""),
    ("optimizer.lr.x=1", "optimizer.lr.x=1", "there is no such key", "optimizer.lr"),
    ("+workload.seed=1", "workload.seed=1", "there is no such key", ""),
    ("+overrides=[a]", "overrides=", "there is no such key", ""),
    ("~sed", "sed=", "there is no such key", "seed"),
    ("~seed", "seed=(missing)", "a whole number from 0 to 9223372036854775807 is needed", ""),
    ("~optimizer.lr", "optimizer.lr=(missing)", "a finite number greater than 0 is needed", ""),
    ("~optimizer", "optimizer=(missing)", "a choice optimizer=... is needed", ""),
    ("~data", "data=(missing)", "(path, cache) with a value is needed", ""),
    ("data=3", "data=3", "(path, cache) with a value is allowed", ""),
    ("+seed=3", "+seed=3", "seed=3 without + is allowed", ""),
    ("seed=1  seed=2", "seed=1 and 2", "once is allowed", ""),
    ("optimizer=sgd  optimizer=adam", "optimizer=sgd and adam", "once is allowed", ""),
    # choices
    ("workload=vision/digit_mlp", "workload=vision/digit_mlp", "vision/digits_mlp, ", "vision/digits_mlp"),
    ("workload=poetry", "workload=poetry", "vision/digits_mlp, ", ""),
    ("workload/vision=digits_mlp", "workload/vision=digits_mlp", "there is no such key", "workload"),
    ("optimizer=adamm", "optimizer=adamm", OPTIMIZERS, "adam"),
    ("optimizer=0.1", "optimizer=0.1", OPTIMIZERS, ""),
    ("optimizer=null", "optimizer=null", OPTIMIZERS, ""),
    ("optimizer=[adam,sgd]", 'optimizer=["adam", "sgd"]', OPTIMIZERS, ""),
    ("optimizer={lr: 1}", "optimizer=", OPTIMIZERS, ""),
    ("optimizer=", 'optimizer=""', OPTIMIZERS, ""),
    ("+optimizer=sgd", "+optimizer=sgd", "optimizer=sgd without + is allowed", ""),
    ("optimizer@schedule=sgd", "optimizer@schedule=sgd", "optimizer=... is allowed, without @", ""),
    ("engine=manuel", "engine=manuel", "one of autograd, manual is allowed", "manual"),
    ("engine.name=autogard", "engine.name=autogard", "engine=...: one of autograd, manual", "engine=autograd"),
    ("workload.name=other", "workload.name=other", "workload=...: one of ", ""),
    ("comm=gloo", "comm=gloo", "one of auto, local, mpi, torch is allowed", ""),
    ("precision=fp64", "precision=fp64", "one of fp32, bf16, fp16 is allowed", ""),
    ("device=gpu", "device=gpu", "one of auto, cpu, cuda is allowed", ""),
    ("reduction.compression=int9", "reduction.compression=int9", "one of none, bf16, fp16, int8, powersgd", "int8"),
    ("engine.fallback=autogard", "engine.fallback=autogard", "one of none, autograd is allowed", "autograd"),
    # types and ranges
    ("optimizer.lr=-1", "optimizer.lr=-1", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=0", "optimizer.lr=0", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=nan", "optimizer.lr=nan", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=inf", "optimizer.lr=inf", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=abc", "optimizer.lr=abc", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=true", "optimizer.lr=true", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=[1]", "optimizer.lr=[1]", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr={a: 1}", "optimizer.lr=", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=null", "optimizer.lr=null", "a finite number greater than 0 is allowed", ""),
    ("optimizer.lr=", 'optimizer.lr=""', "a finite number greater than 0 is allowed", ""),
    ("optimizer.beta1=1", "optimizer.beta1=1", "a finite number of at least 0 and less than 1 is allowed", ""),
    ("optimizer=sgd  optimizer.nesterov=2", "optimizer.nesterov=2", "true or false is allowed", ""),
    ("schedule.warmup_epochs=-1", "schedule.warmup_epochs=-1", "a finite number of at least 0 is allowed", ""),
    ("workload.hidden=[0]", "workload.hidden=[0]", "a list, each item a whole number greater than 0 is allowed", ""),
    ("workload.hidden=[8,true]", "workload.hidden=[8, true]", "a list, each item a whole number", ""),
    ("workload.dropout=1.5", "workload.dropout=1.5", "of at least 0 and less than 1 is allowed", ""),
    ("batch_size=0", "batch_size=0", COUNT, ""),
    ("batch_size=1.5", "batch_size=1.5", COUNT, ""),
    ("batch_size=99999999999", "batch_size=99999999999", COUNT, ""),
    ("micro_batches=0", "micro_batches=0", COUNT, ""),
    ("epochs=-1", "epochs=-1", COUNT, ""),
    ("epochs=true", "epochs=true", COUNT, ""),
    ("steps=0", "steps=0", f"{COUNT} or null is allowed", ""),
    ("seed=-1", "seed=-1", "a whole number from 0", ""),
    ("seed=1.5", "seed=1.5", "a whole number from 0", ""),
    ("seed=99999999999999999999", "seed=99999999999999999999", "a whole number from 0", ""),
    ("shards=0", "shards=0", f"auto or {COUNT} is allowed", ""),
    ("shards=aut", "shards=aut", f"auto or {COUNT} is allowed", "auto"),
    ("threads=0", "threads=0", "auto or a whole number from 1 to 1024 is allowed", ""),
    ("workers=0", "workers=0", f"{COUNT} or null is allowed", ""),
    ("workers=two", "workers=two", f"{COUNT} or null is allowed", ""),
    ("comm.timeout=0", "comm.timeout=0", "a finite number greater than 0", ""),
    ("comm.timeout=inf", "comm.timeout=inf", "a finite number greater than 0", ""),
    ("reduction.bucket_bytes=0", "reduction.bucket_bytes=0", COUNT, ""),
    ("reduction.rank=0", "reduction.rank=0", COUNT, ""),
    ("reduction.fraction=0", "reduction.fraction=0", "greater than 0 and at most 1 is allowed", ""),
    ("reduction.fraction=1.5", "reduction.fraction=1.5", "greater than 0 and at most 1 is allowed", ""),
    ("evaluate.every=nevr", "evaluate.every=nevr", f"never or {COUNT} is allowed", "never"),
    ("checkpoint.keep=0", "checkpoint.keep=0", COUNT, ""),
    ("checkpoint.every=0", "checkpoint.every=0", f"{COUNT} or null is allowed", ""),
    ("log.every=0", "log.every=0", COUNT, ""),
    ("data.path=", 'data.path=""', "a path or null is allowed", ""),
    ("data.path=[a]", 'data.path=["a"]', "a path or null is allowed", ""),
    ("data.path=https://x.org/a.csv", "data.path=https://x.org/a.csv", "allowed (addresses are neither read nor", ""),
    ("run_dir=s3://bucket/run", "run_dir=s3://bucket/run", "allowed (addresses are neither read nor written)", ""),
    ("resume=s3://bucket/run", "resume=s3://bucket/run", "allowed (addresses are neither read nor written)", ""),
    ("run_dir=true", "run_dir=true", "a path or null is allowed", ""),
    (f"run_dir={'x' * 256}", "run_dir=xxx", "a path or null is allowed (no file can have this name)", ""),
    (f"resume={'x' * 256}", "resume=xxx", "latest or a path or null is allowed", ""),
    (f"{'x' * 5000}=1", "", "", ""),
    (f"optimizer={'x' * 5000}", "optimizer=xxx", OPTIMIZERS, ""),
    (f"--config-dir  {'x' * 5000}", "--config-dir=xxx", "a folder that exists is needed", ""),
    ("run_dir='~nobody-here/x'", "run_dir=~nobody-here/x", "a path or null is allowed", ""),
    # together
    ("workers=4  shards=2", "workers=4", "at most shards=2 is allowed", ""),
    ("workers=2  comm=local", "comm=local", "auto, mpi or torch is allowed with workers=2", ""),
    ("micro_batches=9  batch_size=8", "micro_batches=9", "at most batch_size=8 is allowed", ""),
    ("reduction=library  reduction.compression=bf16", "reduction.compression=bf16", "only reduction=ordered", ""),
    ("engine=autograd  +engine.fallback=autograd", "engine.fallback=autograd", "only engine=manual has one", ""),
    ("resume={a: 1}", "resume=", "latest or a path or null is allowed", ""),
    ("resume=latest", "resume=latest", "run_dir=PATH is needed", ""),
    ("resume_allow=[seed]", 'resume_allow=["seed"]', "only with resume=PATH or resume=latest", ""),
    ("resume=x  resume_allow=[sed]", "resume_allow=sed", "only keys of a request are allowed", "seed"),
    # syntax
    ("=3", "argument==3", "key=value is allowed", ""),
    ("train  lr", "argument=lr", "key=value is allowed", ""),
    ("a=b=c", "a=b=c", "a value that can be read is needed", ""),
    ("batch_size=[", "batch_size=[", "a value that can be read is needed", ""),
    ("optimizer.lr=0.1,0.2", "optimizer.lr=0.1,0.2", "one value is allowed", ""),
    ("seed=range(0,3)", "seed=range(0,3)", "one value is allowed", ""),
    ("seed=${nope}", "seed=${nope}", "Interpolation key 'nope' not found", ""),
    ("seed=${seed}", "seed=${seed}", "", ""),
    ("optimizer.lr=${optimizer}", "optimizer.lr=", "", ""),
    ("seed=${oc.env:DISTBP_NOT_SET}", "seed=${oc.env:DISTBP_NOT_SET}", "DISTBP_NOT_SET", ""),
    # what only YAML may say
    ("optimizer._target_=torch.load", "optimizer._target_=torch.load", "read from YAML files only", ""),
    ("++optimizer._target_=torch.load", "optimizer._target_=torch.load", "read from YAML files only", ""),
    ("~optimizer._target_", "optimizer._target_=", "read from YAML files only", ""),
    ("+workload.model._target_=torch.load", "workload.model._target_=torch.load", "read from YAML files only", ""),
    ("optimizer={_target_: os.system}", "optimizer={_target_: os.system}", "read from YAML files only", ""),
    ("+data={x: [{_target_: os.system}]}", "data={x: [{_target_: os.system}]}", "read from YAML files only", ""),
    ("+optimizer._args_=[1]", "optimizer._args_=[1]", "read from YAML files only", ""),
    ("optimizer.lr='${oc.create:{_target_: os.system}}'", "optimizer.lr=", "a finite number greater than 0", ""),
    ("optimizer='${schedule}'", "optimizer=${schedule}", OPTIMIZERS, ""),
    ("hydra.sweeper._target_=os.system", "hydra.sweeper._target_=os.system", "read from YAML files only", ""),
    ("+hydra.callbacks.x._target_=os.system", "hydra.callbacks.x._target_=os.system", "of Hydra's own keys", ""),
    ("hydra.searchpath=[file:///tmp]", "hydra.searchpath=[file:///tmp]", "of Hydra's own keys", "--config-dir"),
    ("hydra.run.dir=x", "hydra.run.dir=x", "of Hydra's own keys", "run_dir"),
    ("hydra.sweep.dir=x", "hydra.sweep.dir=x", "it goes with -m", ""),
    ("hydra/launcher=basc", "hydra/launcher=basc", "basic is allowed", "basic"),
    # verbs and options
    (
        "trian  seed=1",
        "verb=trian",
        f"one of {VERBS} is allowed",
        "train",
    ),
    ("data", "data=(missing)", "list or fetch NAME is allowed", ""),
    ("data  fech  digits", "data=fech digits", "list or fetch NAME is allowed", "fetch"),
    ("data  fetch  digit", "data fetch=digit", "digits", "digits"),
    ("data  list  lr=1", "lr=1", "there is no such key", "optimizer.lr"),
    ("evaluate", "resume=(missing)", "evaluate needs one checkpoint", ""),
    ("evaluate  resume=nothing-here", "resume=nothing-here", "", ""),
    ("--mulirun", "option=--mulirun", "distbp --help lists the options", "--multirun"),
    ("--cfg  jobb", "option=--cfg/-c", "choose from", ""),
    ("--resolve", "option=--resolve", "it goes with --cfg", ""),
    ("--config-dir  nowhere", "--config-dir=nowhere", "a folder that exists is needed", ""),
    ("--config-name  confg", "--config-name=confg", "config is allowed", "config"),
    ("--config-path  /tmp", "option=--config-path", "distbp --help lists the options", "--config-"),
    ("--cfg  job  lr=1", "lr=1", "there is no such key", "optimizer.lr"),
    ("-m  optimizer=adam,sgdd", "optimizer=sgdd", OPTIMIZERS, "sgd"),
    ("-m  optimizer.lr=0.1,-1", "optimizer.lr=-1", "a finite number greater than 0 is allowed", ""),
    ("-m  optimizer=glob(x*)", "optimizer=glob(x*)", OPTIMIZERS, ""),
    ("-m  lrr=1,2", "lrr=", "there is no such key", "optimizer.lr"),
    ("-m  +hydra.sweeper.params.lrr='1,2'", "overrides=", "", ""),
    ("-m  hydra.sweeper.params={lrr: '1,2'}", "overrides=hydra.sweeper.params", "", ""),
]


@pytest.mark.parametrize(("line", "begins", "allowed", "near"), WRONG, ids=[row[0][:60] for row in WRONG])
def test_is_refused_in_one_line(  # noqa: PLR0917 - pytest gives its arguments by name
    distbp: Distbp, launched: Launched, tmp_path: Path, line: str, begins: str, allowed: str, near: str
) -> None:
    answer = distbp(*line.split("  "))
    assert answer.code == 2, answer
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith(f"distbp: error: {begins}"), answer.err
    assert allowed in answer.err
    assert (f"; nearest: {near}" in answer.err) if near else True, answer.err
    assert "Traceback" not in answer.err
    assert not answer.out
    assert not launched.jobs
    assert line.startswith("-m") or not list(tmp_path.iterdir())
