from luckmatters.cli import main

raise SystemExit(main())
