<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.16.0" styleCategories="Symbology|MapTips">
  <renderer-v2 type="categorizedSymbol" attr="status">
    <categories>
      <category symbol="0" value="covered" type="string" label="covered" render="true"/>
      <category symbol="1" value="not covered" type="string" label="not covered" render="true"/>
      <category symbol="2" value="failed" type="string" label="failed" render="true"/>
    </categories>
    <symbols>
      <symbol type="fill" name="0" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="92,219,149,255"/>
          <prop k="line_width" v="0.2"/>
        </layer>
      </symbol>
      <symbol type="fill" name="1" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="160,160,160,255"/>
          <prop k="line_style" v="dot"/>
          <prop k="line_width" v="0.2"/>
        </layer>
      </symbol>
      <symbol type="fill" name="2" alpha="1">
        <layer class="SimpleLine" enabled="1" pass="0" locked="0">
          <prop k="line_color" v="255,82,82,255"/>
          <prop k="line_width" v="0.4"/>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <mapTip enabled="1">[% "status" %]</mapTip>
</qgis>
