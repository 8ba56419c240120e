// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// command runs a program of the operator.
type command struct{ line []string }

// killWait is how long the program's output may stay open after the program has ended.
const killWait = time.Second

// deliver succeeds if the program exits with 0. The program gets the document on standard input, and only the
// environment variables that programs need, because the collector's may hold secrets. When the context ends, it is
// killed with all its children.
func (c *command) deliver(ctx context.Context, e *Event, document []byte) error {
	cmd := exec.CommandContext(ctx, c.line[0], c.line[1:]...)
	cmd.Dir = "/"
	cmd.Env = []string{"ANONYMIZER_EVENT=" + e.Event, "ANONYMIZER_ID=" + e.ID}
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "TZ"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Stdin = bytes.NewReader(append(document, '\n'))
	var said tail
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killWait
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", c.line[0], err, bytes.TrimSpace(said.text))
	}
	return nil
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

const maxTail = 1000

func (t *tail) Write(text []byte) (int, error) {
	t.text = append(t.text, text...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(text), nil
}
