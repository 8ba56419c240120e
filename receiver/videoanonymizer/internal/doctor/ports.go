// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ports checks each address by listening on it for a moment.
func ports(ctx context.Context, listeners []listener) []Finding {
	var findings []Finding
	for _, l := range listeners {
		f := Finding{What: "port " + l.address, Note: "free"}
		var config net.ListenConfig
		listening, err := config.Listen(ctx, "tcp", l.address)
		switch {
		case err == nil:
			_ = listening.Close()
		case errors.Is(err, unix.EADDRINUSE) && holder(l.address) == program:
			f.Note = "in use by a running collector"
		case errors.Is(err, unix.EADDRINUSE):
			by := holder(l.address)
			if by == "" {
				by = "a process that this user cannot see"
			}
			f.Missing = fmt.Errorf("%s: %s is in use by %s: stop it, or write another port", l.key, l.address, by)
		default:
			f.Missing = fmt.Errorf("%s: %w: write an address of this machine", l.key, err)
		}
		findings = append(findings, f)
	}
	return findings
}

// program is the name of the collector's executable.
const program = "otelcol-anonymizer"

// holder returns the name of the program that listens on the port of an address; "" if it cannot be determined.
func holder(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return ""
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listening(table, number) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, descriptor := range descriptors {
		if target, err := os.Readlink(descriptor); err == nil && sockets[target] {
			executable, err := os.Readlink(filepath.Join(descriptor, "..", "..", "exe"))
			if err == nil {
				return filepath.Base(strings.TrimSuffix(executable, " (deleted)"))
			}
		}
	}
	return ""
}

// listening returns the inodes of the sockets that listen on a port, from a table of the kernel (proc_net_tcp).
func listening(table string, port int) (inodes []string) {
	file, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer file.Close()
	const localAddress, state, inode = 1, 3, 9
	suffix := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > inode && fields[state] == "0A" && strings.HasSuffix(fields[localAddress], suffix) {
			inodes = append(inodes, fields[inode])
		}
	}
	return inodes
}
