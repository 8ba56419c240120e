// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package console

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/collector"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/test/internal/footage"
)

// TestMachines: if machines share work, the console of one shows all of them and what they do.
func TestMachines(t *testing.T) {
	addresses, err := collector.FreeAddresses(1)
	require.NoError(t, err)
	s := newSite(t)
	require.NoError(t, os.Mkdir(s.path("videos"), 0o700))
	share := func(connection string) string {
		return fmt.Sprintf(`yaml:{receivers: {videoanonymizer: {
			watch: {include: [%[1]s/incoming/*]}, output: {directory: %[1]s/anonymized},
			share: {name: lab, root: %[1]s, unit_length: 10s, lease: 5s, %[2]s}}}}`, s.path("videos"), connection)
	}
	s.configs = append(s.configs, share(
		fmt.Sprintf("embedded: {directory: %s, listen: %q}", s.path("share"), addresses[0])))
	second := newSite(t, share(fmt.Sprintf(`servers: ["nats://%s"]`, addresses[0])))
	install(t, ".")
	s.start()
	second.start()
	long := s.path("long.mp4")
	require.NoError(t, footage.Loop(s.clip("walk.mp4"), long, 6))
	s.drop(long, "incoming", "long.mp4")
	s.browse("machines.test.mjs", "CONSOLE_PICTURES="+os.Getenv("CONSOLE_PICTURES"))
}
