// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// peerResult compares deface with the pipeline, which ran right after it on the same clip.
type peerResult struct {
	conditions
	Version string
	Peer    peerPass
	Pass    pass
}

// peerPass is one run of deface, from its start to its end.
type peerPass struct {
	Frames int
	Wall   time.Duration
	CPU    time.Duration
	Peak   int64 // bytes of resident memory of all processes; shared pages count in each process
}

// FPS returns the frames per second.
func (p peerPass) FPS() float64 { return float64(p.Frames) / p.Wall.Seconds() }

// measurePeer measures deface as installed by `make recall-peer`, with its defaults, but with ONNX Runtime on the CPU,
// which `make bench PEERS=deface` also installs. The clip is short, because deface is slow.
func measurePeer(ctx context.Context, b *bench, r *results) error {
	const name = "bench-1920x1080.mp4"
	clip, err := footage.Clip(name)
	if err != nil {
		return err
	}
	program := filepath.Join(collector.Root(), "build", "cache", "peer", "bin", "deface")
	if _, err := os.Stat(program); err != nil {
		return errors.New("deface is not installed: run `make bench PEERS=deface`")
	}
	fmt.Printf("bench: %s, deface and the pipeline\n", name)
	p, load := &peerResult{Version: firstLine(program, "--version")}, watchLoad()
	if p.Peer, err = b.runPeer(ctx, program, clip); err != nil {
		return err
	}
	if p.Pass, err = b.measurePipeline(ctx, clip); err != nil {
		return err
	}
	p.Peer.Frames = p.Pass.Frames
	p.conditions = b.conditions(load)
	r.Peer = p
	return nil
}

func (b *bench) runPeer(ctx context.Context, program, clip string) (p peerPass, err error) {
	output := filepath.Join(b.dir, "peer.mp4")
	command := exec.CommandContext(ctx, program, clip, "--output", output, "--backend", "onnxrt",
		"--execution-provider", "CPUExecutionProvider")
	command.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(filepath.Dir(program), "..", "onnxrt"))
	log, err := os.Create(filepath.Join(b.dir, "peer.log"))
	if err != nil {
		return p, err
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	began := time.Now()
	if err := command.Start(); err != nil {
		return p, err
	}
	watched := watchTree(command.Process.Pid)
	err = command.Wait()
	watched.end()
	p.Wall = time.Since(began)
	if _, statErr := os.Stat(output); err != nil || statErr != nil { // deface skips what it cannot read
		said, _ := os.ReadFile(log.Name())
		return p, fmt.Errorf("%v: %w: %s", command.Args, errors.Join(err, statErr), said)
	}
	p.CPU, p.Peak = command.ProcessState.UserTime()+command.ProcessState.SystemTime(), watched.peak
	return p, nil
}
