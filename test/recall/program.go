// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/process"
)

// produced is a program's result for a clip.
type produced struct {
	source string // what to compare the output with
	output string
	cpu    time.Duration // of the program and its child processes, without startup
}

// program is the built collector.
type program struct {
	// starting is held while a collector looks for free ports and opens them, so that no two take the same ones.
	starting sync.Mutex
}

// configs returns the configurations that apply a variant to the default configuration. Masks have a color that is rare
// in footage, and outputs are lossless, so exactly the masked pixels differ.
func configs(v variant) []string {
	return []string{
		fmt.Sprintf(`yaml:{receivers: {videoanonymizer: {
			watch: {poll_interval: 100ms, stable_for: 200ms},
			output: {codec: ffv1, container: mkv},
			mask: {fill: solid, color: "#ff00ff"},
			models: {directory: %q}}}}`, filepath.Join(collector.Root(), "models")),
		"yaml:{receivers: {videoanonymizer: {" + v.settings + "}}}",
	}
}

// refused returns why the program rejects a variant's settings; empty if it accepts them.
func (*program) refused(ctx context.Context, v variant) string {
	output, err := collector.Validate(ctx, collector.Options{Dir: collector.Root(), Configs: configs(v)})
	if err == nil {
		return ""
	}
	return cmp.Or(lastLine([]byte(output)), err.Error())
}

// lastLine returns the last line of a program's output, which says why it ended.
func lastLine(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(bytes.TrimSpace(output[bytes.LastIndexByte(output, '\n')+1:]))
}

// errNotStarted says that the program does not start with a variant's settings, for instance because a model is
// missing.
var errNotStarted = errors.New("the program does not start")

// key returns what a variant's outputs depend on.
func (*program) key(v variant) ([]any, error) {
	key := []any{v.settings}
	for _, files := range []string{"bin/otelcol-anonymizer", "models/*.onnx", "config/config.yaml"} {
		digest, err := digestFiles(filepath.Join(collector.Root(), files))
		if err != nil {
			return nil, err
		}
		key = append(key, digest)
	}
	return key, nil
}

// anonymize runs a clip through a collector with the variant's settings, in an empty directory.
func (p *program) anonymize(ctx context.Context, v variant, clip, dir string) (made produced, err error) {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return made, err
	}
	defer log.Close()
	c, err := p.start(ctx, v, collector.Options{Dir: dir, Output: log, Configs: configs(v)})
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		return made, fmt.Errorf("%w: %s", errNotStarted, cmp.Or(lastLine(said), err.Error()))
	}
	toStart := cpuTime(c.PID())
	output, err := drop(ctx, c, clip, dir)
	if err = errors.Join(err, c.Stop(time.Minute)); err != nil {
		said, _ := os.ReadFile(log.Name())
		return made, fmt.Errorf("%w; the collector printed:\n%s", err, said)
	}
	return produced{clip, output, c.CPUTime() - toStart}, nil
}

func (p *program) start(ctx context.Context, v variant, options collector.Options) (*collector.Collector, error) {
	p.starting.Lock()
	defer p.starting.Unlock()
	options, err := options.OnFreePorts()
	if err != nil {
		return nil, err
	}
	return collector.Start(ctx, options)
}

// drop gives a clip to a collector, and waits for its output.
func drop(ctx context.Context, c *collector.Collector, clip, dir string) (output string, err error) {
	source, err := collector.Drop(clip, filepath.Join(dir, "videos", "incoming"), filepath.Base(clip))
	if err != nil {
		return "", err
	}
	output = filepath.Join(dir, collector.OutputOf(source))
	output = strings.TrimSuffix(output, filepath.Ext(output)) + ".mkv"
	return output, c.Await(ctx, "the anonymized video", 250*time.Millisecond, func() (bool, error) {
		_, err := os.Stat(output)
		return err == nil, nil
	})
}

// cpuTime returns the CPU time used so far by a running process, and by its child processes that have ended.
func cpuTime(pid int) time.Duration {
	const ticksPerSecond = 100 // Linux's USER_HZ
	fields := process.Fields(pid, "stat")
	ticks := 0
	for i := 13; i < min(17, len(fields)); i++ { // utime, stime, cutime, cstime, as in proc_pid_stat(5)
		n, _ := strconv.Atoi(fields[i])
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}
