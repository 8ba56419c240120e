// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClaimOnceStable(t *testing.T) {
	r := newRig(t)
	path := r.drop("walk.mkv", "a")
	r.w.poll()
	assert.Nil(t, r.try(), "it just appeared")
	r.pass(2 * time.Second)
	assert.Nil(t, r.try(), "not stable for long enough")
	write(t, path, "ab")
	r.pass(2 * time.Second)
	assert.Nil(t, r.try(), "it grew")
	r.pass(2 * time.Second)
	assert.Nil(t, r.try(), "not stable for long enough")
	assert.Zero(t, r.w.QueueLength())
	r.pass(time.Second)
	assert.Equal(t, 1, r.w.QueueLength())
	job := r.try()
	require.NotNil(t, job)
	assert.Equal(t, path, job.Path)
	assert.Equal(t, "walk.mkv", string(job.entry.Rel))
	assert.Equal(t, filepath.Join(r.out, "walk_anonymized.mkv"), job.Output)
	assert.Equal(t, r.out, filepath.Dir(job.Temp))
	assert.Equal(t, ".mkv", filepath.Ext(job.Temp))
	assert.Equal(t, 1, job.Attempt)
	assert.EqualValues(t, 2, job.Size)
	assert.Zero(t, r.w.QueueLength())
	assert.Nil(t, r.try(), "claimed")
	r.complete(job)
	r.idle()
	assert.Equal(t, []string{"walk_anonymized.mkv"}, tree(t, r.out))
}

func TestQueueOrderOldestFirst(t *testing.T) {
	r := newRig(t)
	for i, name := range []string{"c.mkv", "a.mkv", "b.mkv"} {
		path := r.drop(name, name)
		at := time.Now().Add(time.Duration(i-10) * time.Hour)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	r.settle()
	late := r.drop("late.mkv", "late")
	require.NoError(t, os.Chtimes(late, time.Unix(0, 0), time.Unix(0, 0)))
	r.settle()
	var order []string
	for job := r.try(); job != nil; job = r.try() {
		order = append(order, string(job.entry.Rel))
	}
	assert.Equal(t, []string{"c.mkv", "a.mkv", "b.mkv", "late.mkv"}, order)
}

func TestQueueOrderByName(t *testing.T) {
	r := newRig(t)
	at := time.Unix(1_700_000_000, 0)
	var order, want []string
	for i := range 10 {
		name := fmt.Sprintf("%d.mkv", i)
		want = append(want, name)
		require.NoError(t, os.Chtimes(r.drop(name, name), at, at))
	}
	r.settle()
	for job := r.try(); job != nil; job = r.try() {
		order = append(order, string(job.entry.Rel))
	}
	assert.Equal(t, want, order)
}
