package main

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/concurrency"
)

// Queue holds jobs until they are done. Each job is done at least once: if a worker dies, another
// worker does its job again. Jobs are keys below prefix/jobs/. To claim a job, a worker puts a key
// with the job's name below prefix/claims/. That key is attached to the lease of the worker's
// session.
type Queue struct {
	client *clientv3.Client
	prefix string
}

// Add adds a job. If Add returns an error, the job may or may not have been added.
func (q *Queue) Add(ctx context.Context, job string) error {
	_, err := q.client.Put(ctx, q.prefix+"/jobs/"+rand.Text(), job)
	return err
}

// Work calls the function do for each job, the oldest first. It returns when ctx or the session
// ends, or when do returns an error. The context of do ends as soon as the worker's claim may be
// lost.
func (q *Queue) Work(
	ctx context.Context, s *concurrency.Session, do func(ctx context.Context, job string) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.Ctx(), func() { cancel(context.Cause(s.Ctx())) })()
	for {
		worked, rev, err := q.workOnce(ctx, s, do)
		if err == nil && !worked {
			err = q.waitForChange(ctx, rev)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// workOnce claims and does the oldest job that no worker has claimed. worked reports whether there
// was such a job. If there was none, rev is the revision at which workOnce read the jobs.
func (q *Queue) workOnce(
	ctx context.Context, s *concurrency.Session, do func(context.Context, string) error,
) (worked bool, rev int64, err error) {
	jobs, err := q.client.Get(ctx, q.prefix+"/jobs/", clientv3.WithPrefix(),
		clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend))
	if err != nil {
		return false, 0, err
	}
	for _, job := range jobs.Kvs {
		claim := q.prefix + "/claims/" + strings.TrimPrefix(string(job.Key), q.prefix+"/jobs/")
		claimed, err := q.client.Txn(ctx).
			If(clientv3util.KeyExists(string(job.Key)), clientv3util.KeyMissing(claim)).
			Then(clientv3.OpPut(claim, "", clientv3.WithLease(s.Lease()))).
			Commit()
		if err != nil {
			return false, 0, err
		}
		if !claimed.Succeeded {
			continue
		}
		if err := do(ctx, string(job.Value)); err != nil {
			return false, 0, err
		}
		// If this worker's claim has expired, another worker may be doing the job. Then this worker
		// must not delete it.
		_, err = q.client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(claim), "=", claimed.Header.Revision)).
			Then(clientv3.OpDelete(string(job.Key)), clientv3.OpDelete(claim)).
			Commit()
		return true, 0, err
	}
	return false, jobs.Header.Revision, nil
}

// waitForChange waits until a job or a claim was added or deleted after the revision rev.
func (q *Queue) waitForChange(ctx context.Context, rev int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the watch
	resp := <-q.client.Watch(ctx, q.prefix+"/", clientv3.WithPrefix(), clientv3.WithRev(rev+1))
	if err := resp.Err(); !errors.Is(err, rpctypes.ErrCompacted) {
		return err
	}
	return nil // some changes were missed, but Work now reads all jobs again
}
